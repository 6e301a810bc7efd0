#!/bin/sh
# Makes the four databases and their roles; passwords come from <SERVICE>_MIGRATOR_PASSWORD and
# <SERVICE>_APP_PASSWORD. PostgreSQL's image runs it at its first start; by hand: PGHOST=… sh init.sh
set -eu
folder=${ROLES_FOLDER:-$(dirname "$0")}
superuser=${POSTGRES_USER:-${PGUSER:-postgres}}
for service in intake routing mediation notification; do
    upper=$(printf %s "$service" | tr a-z A-Z)
    eval "migrator=\${${upper}_MIGRATOR_PASSWORD} app=\${${upper}_APP_PASSWORD}"
    sed "s/{service}/$service/g" "$folder/cluster.sql" |
        psql -q -v ON_ERROR_STOP=1 -U "$superuser" postgres
    printf '%s\n' "ALTER ROLE ${service}_migrator PASSWORD :'migrator';" \
        "ALTER ROLE ${service}_app PASSWORD :'app';" |
        psql -q -v ON_ERROR_STOP=1 -v migrator="$migrator" -v app="$app" -U "$superuser" postgres
    sed "s/{service}/$service/g" "$folder/database.sql" |
        psql -q -v ON_ERROR_STOP=1 -U "$superuser" "liandiao_$service"
done
