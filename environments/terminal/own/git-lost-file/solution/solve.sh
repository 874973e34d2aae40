#!/bin/bash
cd repo
deleted=$(git log --diff-filter=D --format=%H -1 -- config.ini)
git show "$deleted^:config.ini" >../config.ini
