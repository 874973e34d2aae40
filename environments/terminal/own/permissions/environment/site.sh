set -e
mkdir -p site/lib/secret/deep site/secret site/empty
cd site
for file in run.sh index.html lib/tool.sh lib/data.txt 'lib/with space.txt' secret/key.pem secret/unlock.sh \
    lib/secret/deep/token lib/script.shx; do
    echo "$file" >"$file"
done
ln -s lib/data.txt current
chmod 777 . run.sh lib/data.txt secret/key.pem empty
chmod 644 lib/tool.sh secret/unlock.sh lib/secret/deep/token index.html
chmod 700 lib secret lib/secret
chmod 755 lib/secret/deep 'lib/with space.txt' lib/script.shx
