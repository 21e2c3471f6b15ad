#!/usr/bin/env bash
# What must hold in every commit and is no test of one package: generated files are current, scripts parse,
# the lock file belongs to its source, go.mod lists no Kubernetes module of another version.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$(root_of)"
failed=0
complain() {
  printf 'verify: %s\n' "$*" >&2
  failed=1
}

for script in scripts/*.sh .ci/run; do
  bash -n "$script" || complain "$script does not parse"
done

# Every direct requirement stands in the lock with the same pin.
while read -r pin; do
  grep -qF -- "$pin " requirements.txt || complain "requirements.txt lacks $pin: make lock"
done < <(sed -n 's/^\([a-z0-9-]*==[^ #]*\).*/\1/p' requirements.in)

wanted="$(sed -n 's|^\tk8s.io/kubernetes v1\.\([0-9.]*\).*|v0.\1|p' go.mod)"
while read -r module version; do
  [ "$version" = "$wanted" ] || complain "go.mod replaces $module by $version, Kubernetes' other modules are $wanted"
done < <(sed -n 's|^.*k8s.io/[a-z-]* => \(k8s.io/[a-z-]*\) \(v[0-9.]*\).*|\1 \2|p' go.mod)

# The licences of what is linked are recorded.
while read -r module; do
  grep -qF "$module" docs/dependencies.md || complain "docs/dependencies.md lacks $module (version, licence, reason)"
done < <(go list -m -f '{{if not (or .Indirect .Main)}}{{.Path}}{{end}}' all)

generated() { git ls-files -co --exclude-standard | grep -E 'zz_generated|/crds/|_generated\.' | sort -u | xargs -r sha256sum; }
before="$(generated)"
make --quiet generate
[ "$before" = "$(generated)" ] || complain "generated files were not current and have been made again; commit them (make generate)"

exit $failed
