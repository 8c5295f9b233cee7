#!/bin/bash
# Backs up every project and the platform, as `launchdb backups create --all` does; what it says is kept in a file too.
set -o pipefail
launchdb backups create --all "$@" 2>&1 | tee -a /var/log/launchdb-backup.log
