#!/bin/bash
python3 - <<'END'
import datetime
import re

months = "January February March April May June July August September October November December".split()
text = open("notes.txt", encoding="utf-8").read()
found = [(y, m, d) for y, m, d in re.findall(r"(?<!\d)(\d{4})-(\d\d)-(\d\d)(?!\d)", text)]
found += [(y, m, d) for d, m, y in re.findall(r"(?<!\d)(\d\d)\.(\d\d)\.(\d{4})(?!\d)", text)]
pattern = rf"({'|'.join(months)}) (\d{{1,2}}), (\d{{4}})(?!\d)"
found += [(y, months.index(m) + 1, d) for m, d, y in re.findall(pattern, text)]
dates = set()
for year, month, day in found:
    try:
        dates.add(datetime.date(int(year), int(month), int(day)))
    except ValueError:
        pass
with open("dates.txt", "w") as file:
    file.writelines(f"{date}\n" for date in sorted(dates))
END
