#!/usr/bin/env bash
# `make corpus`: the recorded events and scenarios against a temporary instance. Arguments go to the command; with
# --cluster the instance is two of each role on the services that `make services` starts.

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$ROOT"

bash scripts/build-release.sh affilitrack
case " $* " in
    *" --cluster "*)
        settings=$(bash scripts/services.sh settings)
        eval "$settings"
        ;;
esac
exec target/release/affilitrack corpus "${CORPUS:-tests/corpus/webhooks}" "$@"
