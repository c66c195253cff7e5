#!/usr/bin/env bash
# Two enterprises log in at the platform and agree: to scores of this model, and the first one to a question as well.
set -euo pipefail
cd "${TOWN:-runs/scores}"

mapfile -t codes < <(sed -n 2,3p data/aligned.csv | tr -d '\r')
(umask 077 && openssl rand -hex 16 > data/password)
login=(--node parties/platform --account ann --password-file data/password)
fedcredit consent account add ann --kind enterprise --node parties/platform --password-file data/password \
    --subject "${codes[0]}" --subject "${codes[1]}"

echo uscc,consent > data/clients.csv
for code in "${codes[@]}"; do
    # Without --yes it asks, in the language of --language, and shows the text that is agreed to.
    token=$(fedcredit consent issue "${login[@]}" --subject "$code" --requester bank --region nanjing --uses 2 --yes \
        --provider registry --provider employment --provider guarantee --model sme-default --language en)
    echo "$code,$token" >> data/clients.csv
done
fedcredit consent issue "${login[@]}" --subject "${codes[0]}" --requester bank --region nanjing --uses 1 --yes \
    --provider employment --predicate hf_contributors_at_least --language en --out data/question.jwt
