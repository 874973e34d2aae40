python3 - <<'END'
import sqlite3

STOCK = {
    "anchor": {1: 4, 2: 9},
    "bucket": {1: 3, 3: 6},
    "candle": {},
    "drill": {2: 10},
    "lamp": {1: 0, 2: 0},
    "nail": {1: 500, 2: 250, 3: 3},
    "rope": {3: 9},
    "saw": {1: 5, 2: 5, 3: 1},
    "tent": {2: 1, 3: 1},
}
with sqlite3.connect("shop.db") as base:
    base.execute("CREATE TABLE product(id INTEGER PRIMARY KEY, name TEXT, price REAL)")
    base.execute("CREATE TABLE warehouse(id INTEGER PRIMARY KEY, city TEXT)")
    base.execute("CREATE TABLE stock(product INTEGER, warehouse INTEGER, amount INTEGER)")
    base.executemany("INSERT INTO warehouse VALUES (?, ?)", [(1, "Graz"), (2, "Lyon"), (3, "Oslo")])
    for number, (name, amounts) in enumerate(reversed(STOCK.items()), 1):
        base.execute("INSERT INTO product VALUES (?, ?, ?)", (number, name, 1.5 * number))
        base.executemany("INSERT INTO stock VALUES (?, ?, ?)", [(number, *item) for item in amounts.items()])
END
