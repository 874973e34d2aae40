#!/bin/bash
cd photos
for file in *.JPG; do
    number=$(grep -oE '[0-9]+' <<<"$file" | head -n 1)
    word=$(grep -oE '\(.*\)' <<<"$file" | tr -d '()' | tr '[:upper:]' '[:lower:]')
    mv "$file" "$(printf '%03d' "$number")-$word.jpg"
done
