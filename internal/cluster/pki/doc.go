// Package pki holds the certificates and keys of one local cluster.
//
// [Open] creates what is missing in a folder (ECDSA P-256 throughout) and
// renews what is about to expire; [Store.Renew] does the same while the
// cluster runs. One authority signs what talks to the cluster, one what the API
// server shows to aggregated API servers:
//
//	ca ─┬─ apiserver            serves the Kubernetes API on loopback
//	    ├─ admin                client certificate of the user's kubeconfig
//	    ├─ apiserver-kubelet    client certificate with which the API server calls the kubelet
//	    └─ kubelet              serves the kubelet's API
//	front-proxy-ca ── front-proxy-client   client certificate with which the API server passes requests on
//	sa                          signs the tokens of service accounts
//
// Components read the files, so a renewed certificate takes effect in a running
// one. The package knows nothing of what runs with the certificates.
package pki
