#!/bin/bash
# Writes the reward: 1 or 0. The chapters are as they were handed out; only the Makefile is the agent's.
reward=0
expected() { for chapter in chapters/*.txt; do cat "$chapter"; echo --; done; }
check() {
    timeout 20 make && [ "$(cat book.txt)" = "$(expected)" ] || return
    timeout 20 make | grep -q 'up to date' || return
    sleep 1.1
    echo 'One more line.' >>chapters/02-middle.txt
    timeout 20 make && [ "$(cat book.txt)" = "$(expected)" ] || return
    timeout 20 make clean && [ ! -e book.txt ] || return
    [ "$(timeout 20 make -s count | tail -n 1 | tr -d ' ')" = "$(expected | wc -w | tr -d ' ')" ] || return
    reward=1
}
check
rm -rf /logs/verifier/*
echo "$reward" >/logs/verifier/reward.txt
