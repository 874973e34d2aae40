#!/bin/bash
# Writes the reward: 1 or 0. The inputs are as they were handed out; only the declared files are the agent's.
python3 -I - >/logs/verifier/reward.txt <<'END'
import csv

def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))

names = dict(table("customers.csv")[1:])
totals = {}
for _, customer, amount, status in table("orders.csv")[1:]:
    if status == "paid" and customer in names:
        cents = totals.setdefault(names[customer], [])
        cents.append(int(amount.replace(".", "")))
rows = sorted(((name, len(cents), sum(cents)) for name, cents in totals.items()), key=lambda row: -row[2])
expected = [[name, str(count), f"{total // 100}.{total % 100:02d}"] for name, count, total in rows]
try:
    found = table("totals.csv")
except (OSError, UnicodeDecodeError, csv.Error):
    found = []
print(int(found == [["name", "orders", "total"], *expected]))
END
