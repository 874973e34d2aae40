#!/bin/bash
awk '$9 ~ /^5[0-9][0-9]$/ { seen[$1]++ } END { for (a in seen) print a, seen[a] }' access.log |
    LC_ALL=C sort -k2,2nr -k1,1 | head -n 3 >report.txt
