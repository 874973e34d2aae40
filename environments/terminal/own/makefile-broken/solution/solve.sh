#!/bin/bash
printf 'CHAPTERS := $(sort $(wildcard chapters/*.txt))\n\nbook.txt: $(CHAPTERS)\n\tfor chapter in $^; do cat "$$chapter"; echo --; done >$@\n\ncount: book.txt\n\t@wc -w <book.txt\n\nclean:\n\trm -f book.txt\n\n.PHONY: count clean\n' >Makefile
