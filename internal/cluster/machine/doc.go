// Package machine tells the kubelet about the host in place of cAdvisor, which
// would watch every cgroup and disk of it. It reads what is asked for when it
// is asked and watches nothing.
package machine
