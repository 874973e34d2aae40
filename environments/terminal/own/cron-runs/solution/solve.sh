#!/bin/bash
cat >/tmp/cron.py <<'END'
import datetime

day = datetime.date(2024, 2, 29)

def values(field, low, high):
    found = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        first, last = (low, high) if first == "*" else (int(first), int(last or first))
        found |= set(range(first, last + 1, int(step or 1)))
    return found

with open("runs.txt", "w") as out:
    for line in open("crontab"):
        minute, hour, date, month, weekday, name = line.split()
        days = {value % 7 for value in values(weekday, 0, 7)}
        fits = [day.day in values(date, 1, 31), day.isoweekday() % 7 in days]
        either = date != "*" and weekday != "*"
        runs = day.month in values(month, 1, 12) and (any(fits) if either else all(fits))
        print(name, runs * len(values(minute, 0, 59)) * len(values(hour, 0, 23)), file=out)
END
python3 /tmp/cron.py
