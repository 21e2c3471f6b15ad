package lint

// Rules are all rules, in the order of docs/lint.md.
var Rules = []Rule{
	// Reading and schema.
	{ID: "yaml-syntax", Severity: Error},
	{ID: "indentation-lost", Severity: Error},
	{ID: "duplicate-key", Severity: Error},
	{ID: "not-an-object", Severity: Error},
	{ID: "unknown-field", Severity: Error, Fixes: true},
	{ID: "wrong-type", Severity: Error, Fixes: true},
	{ID: "missing-field", Severity: Error},
	{ID: "invalid-value", Severity: Error, Fixes: true, object: invalidValues},
	{ID: "removed-api", Severity: Error, Fixes: true},
	{ID: "deprecated-api", Severity: Warning, Fixes: true},
	{ID: "unknown-kind", Severity: Warning},
	{ID: "kind-to-come", Severity: Error},
	{ID: "duplicate-object", Severity: Error, input: duplicateObjects},
	{ID: "duplicate-name", Severity: Error, pod: duplicateNames},

	// What would never work.
	{ID: "extended-resource", Severity: Error, Fixes: true, container: extendedResources},
	{ID: "gpu-toleration", Severity: Error, Fixes: true, pod: gpuToleration},
	{ID: "world-size", Severity: Error, Fixes: true, container: worldSize},
	{ID: "selector-mismatch", Severity: Error, Fixes: true, object: selectorMismatch},
	{ID: "service-selects-nothing", Severity: Warning, object: serviceSelectsNothing},
	{ID: "service-port", Severity: Warning, object: servicePort},
	{ID: "claim-missing", Severity: Warning, pod: claimMissing},
	{ID: "reference-missing", Severity: Info, pod: referenceMissing},
	{ID: "volume-missing", Severity: Error, container: volumeMissing},
	{ID: "restart-policy", Severity: Error, Fixes: true, pod: restartPolicy},
	{ID: "shared-claim", Severity: Warning, pod: sharedClaim},
	{ID: "state-in-container", Severity: Warning, container: stateInContainer},
	{ID: "hand-made-node", Severity: Info, object: handMadeNode},
	{ID: "workflow-step", Severity: Error, Fixes: true},
	{ID: "workflow-error", Severity: Error},
	{ID: "workflow-warning", Severity: Warning},

	// What is dangerous.
	{ID: "latest-tag", Severity: Warning, container: latestTag},
	{ID: "no-security-context", Severity: Warning, Fixes: true, container: noSecurityContext},
	{ID: "privileged", Severity: Warning, container: privileged},
	{ID: "runs-as-root", Severity: Warning, container: runsAsRoot},
	{ID: "host-path", Severity: Warning, pod: hostPath},
	{ID: "host-namespace", Severity: Warning, pod: hostNamespace},
	{ID: "secret-in-env", Severity: Warning, container: secretInEnv},
	{ID: "no-limits", Severity: Warning, container: noLimits},
	{ID: "no-probes", Severity: Warning, container: noProbes},

	// With --server.
	{ID: "server-refuses", Severity: Error},
}
