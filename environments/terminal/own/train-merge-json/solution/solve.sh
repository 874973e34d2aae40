#!/bin/bash
python3 - <<'END'
import json

def merged(base, over):
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    both = {**base, **{key: merged(base.get(key), value) for key, value in over.items()}}
    return {key: value for key, value in both.items() if value is not None}

with open("merged.json", "w") as file:
    json.dump(merged(json.load(open("defaults.json")), json.load(open("site.json"))), file)
END
