#!/bin/bash
python3 - <<'END'
import sqlite3

rows = sqlite3.connect("shop.db").execute(
    "SELECT name FROM product LEFT JOIN stock ON stock.product = product.id "
    "GROUP BY product.id HAVING COALESCE(SUM(amount), 0) < 10 ORDER BY name"
)
with open("answer.txt", "w") as file:
    file.writelines(f"{name}\n" for (name,) in rows)
END
