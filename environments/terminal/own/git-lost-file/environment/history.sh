set -e
git init -q -b main repo
cd repo
echo 'A small server.' >README
git add . && git commit -qm 'Begin'
printf '[server]\nport = 8080\n' >config.ini
git add . && git commit -qm 'Add settings'
printf '[server]\nport = 8443\nworkers = 4\n' >config.ini
git commit -qam 'Use another port'
echo 'See config.ini.' >>README
git commit -qam 'Say where the settings are'
printf '[server]\nport = 8443\nworkers = 6\n\n[cache]\nttl = 90\n' >config.ini
git commit -qam 'Cache what is asked for often'
git rm -q config.ini
echo 'Settings come from the environment.' >README
git add . && git commit -qm 'Take settings from the environment'
echo 'Nothing else is needed.' >>README
git commit -qam 'Say that nothing else is needed'
