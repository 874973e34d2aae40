#!/bin/bash
find site -type d -exec chmod 750 {} +
find site -type f -exec chmod 640 {} +
find site -type f -name '*.sh' -exec chmod 750 {} +
find site -type f -path '*/secret/*' -exec chmod 600 {} +
