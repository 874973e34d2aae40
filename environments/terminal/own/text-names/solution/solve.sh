#!/bin/bash
grep -v -e '^#' -e '^[[:space:]]*$' names.txt |
    awk -F, '{ gsub(/ /, ""); print toupper(substr($2,1,1)) tolower(substr($2,2)), toupper(substr($1,1,1)) tolower(substr($1,2)) }' |
    LC_ALL=C sort -u | LC_ALL=C sort -k2,2 -k1,1 >out.txt
