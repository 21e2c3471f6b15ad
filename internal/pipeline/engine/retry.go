package engine

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/pipeline/expand"
)

func (e *engine) retryStrategy(t *argo.Template) *argo.RetryStrategy {
	if t.RetryStrategy != nil {
		return t.RetryStrategy
	}
	if t.Container != nil || t.Script != nil {
		return e.spec.RetryStrategy
	}
	return nil
}

// retry runs a template as attempts below a Retry node.
func (e *engine) retry(c call, node *argo.NodeStatus, t *argo.Template, rs *argo.RetryStrategy, in argo.Inputs) *argo.NodeStatus {
	if node == nil {
		node = e.newNode(c, argo.NodeTypeRetry, argo.NodeRunning, "")
		node.Inputs = keepInputs(in)
	}
	last := e.lastAttempt(node)
	if last != nil && last.Phase.Fulfilled() {
		if e.afterAttempt(c, node, last, t, rs, in); node.Phase.Fulfilled() || e.waits(node) {
			return node
		}
		last = nil
	}
	attempt := c
	attempt.flag = &argo.NodeFlag{Retried: true}
	attempt.inputs = &in // the call has its arguments only in the round that made the Retry node
	if c.flag != nil {
		attempt.flag.Hooked = c.flag.Hooked
	}
	if last != nil {
		attempt.name = last.Name
	} else {
		attempt.name = fmt.Sprintf("%s(%d)", c.name, e.attempts(node))
	}
	attempt.attempt = e.attemptVars(node, last)
	if n := e.execute(attempt); n != nil {
		link(node, n)
		if n.Phase.Fulfilled() {
			if e.afterAttempt(c, node, n, t, rs, in); !node.Phase.Fulfilled() && !e.waits(node) {
				e.again(0) // the next attempt begins in the next round, so that each round ends
			}
		}
	}
	return node
}

func (e *engine) attempts(node *argo.NodeStatus) int {
	n := 0
	for _, id := range node.Children {
		if c := e.nodes[id]; c != nil && !strings.HasSuffix(c.Name, ".onExit") {
			n++
		}
	}
	return n
}

// attemptVars are retries and lastRetry.*, those of the attempt before.
func (e *engine) attemptVars(node, current *argo.NodeStatus) map[string]string {
	n := e.attempts(node)
	var before *argo.NodeStatus
	for _, id := range node.Children {
		if c := e.nodes[id]; c != nil && c != current && !strings.HasSuffix(c.Name, ".onExit") {
			before = c
		}
	}
	if current != nil {
		n--
	}
	vars := map[string]string{
		"retries": strconv.Itoa(n), "lastRetry.exitCode": "0", "lastRetry.status": "", "lastRetry.duration": "0", "lastRetry.message": "",
	}
	if before != nil {
		lastRetry(vars, before)
	}
	return vars
}

func lastRetry(vars map[string]string, n *argo.NodeStatus) {
	vars["lastRetry.exitCode"] = "-1"
	if n.Outputs != nil && n.Outputs.ExitCode != nil {
		vars["lastRetry.exitCode"] = *n.Outputs.ExitCode
	}
	vars["lastRetry.status"] = string(n.Phase)
	vars["lastRetry.duration"] = strconv.Itoa(int(n.FinishedAt.Sub(n.StartedAt.Time).Seconds()))
	vars["lastRetry.message"] = n.Message
}

// afterAttempt decides whether an attempt was the last one. The node stays
// Running if another one follows.
func (e *engine) afterAttempt(c call, node, last *argo.NodeStatus, t *argo.Template, rs *argo.RetryStrategy, in argo.Inputs) {
	end := func(message string) {
		node.Outputs = last.Outputs
		e.mark(node, last.Phase, message)
	}
	if !last.Phase.FailedOrError() {
		end("")
		return
	}
	if e.stopping && (!e.exiting || e.wf.Spec.Shutdown != argo.ShutdownStop) {
		end(e.stopWhy)
		return
	}
	if !policyAllows(rs, last.Phase) {
		end(last.Message)
		return
	}
	vars := e.templateScope(c, t, in)
	attempt := map[string]string{"retries": strconv.Itoa(e.attempts(node) - 1)}
	lastRetry(attempt, last)
	for k, v := range attempt {
		vars.Set(k, v)
	}
	if rs.Limit != nil {
		limit, err := expand.Number(rs.Limit, vars)
		if err != nil {
			e.mark(node, argo.NodeError, fmt.Sprintf("retryStrategy.limit: %v", err))
			return
		}
		if e.attempts(node) > limit {
			end("No more retries left")
			return
		}
	}
	if rs.Expression != "" {
		again, err := vars.EvaluateBool(rs.Expression)
		if err != nil {
			e.mark(node, argo.NodeError, fmt.Sprintf("retryStrategy.expression: %v", err))
			return
		}
		if !again {
			end("retryStrategy.expression evaluated to false")
			return
		}
	}
	if rs.Backoff != nil {
		e.backoff(node, last, rs.Backoff, vars)
	}
}

// policyAllows follows Argo: without a policy failures are repeated, and with
// an expression everything that the expression allows.
func policyAllows(rs *argo.RetryStrategy, phase argo.NodePhase) bool {
	policy := rs.RetryPolicy
	if policy == "" {
		policy = argo.RetryOnFailure
		if rs.Expression != "" {
			policy = argo.RetryAlways
		}
	}
	switch policy {
	case argo.RetryAlways:
		return true
	case argo.RetryOnError, argo.RetryOnTransientError:
		return phase == argo.NodeError
	default:
		return phase == argo.NodeFailed
	}
}

const backoffMessage = "Backoff for "

func (e *engine) waits(node *argo.NodeStatus) bool {
	return strings.HasPrefix(node.Message, backoffMessage)
}

// backoff leaves a message on the node while the pause lasts.
func (e *engine) backoff(node, last *argo.NodeStatus, b *argo.Backoff, vars *expand.Scope) {
	fail := func(field string, err error) {
		e.mark(node, argo.NodeError, fmt.Sprintf("retryStrategy.backoff.%s: %v", field, err))
	}
	pause, err := Duration(string(b.Duration), vars)
	if err != nil {
		fail("duration", err)
		return
	}
	if b.Factor != nil {
		factor, err := expand.Number(b.Factor, vars)
		if err != nil {
			fail("factor", err)
			return
		}
		if exp := float64(e.attempts(node) - 1); exp > 0 && factor > 0 {
			pause = time.Duration(min(float64(pause)*math.Pow(float64(factor), exp), float64(math.MaxInt64/2)))
		}
	}
	if b.Cap != "" {
		most, err := Duration(string(b.Cap), vars)
		if err != nil {
			fail("cap", err)
			return
		}
		pause = min(pause, most)
	}
	if b.MaxDuration != "" {
		most, err := Duration(string(b.MaxDuration), vars)
		if err != nil {
			fail("maxDuration", err)
			return
		}
		if e.now.Sub(node.StartedAt.Time) > most || last.FinishedAt.Add(pause).Sub(node.StartedAt.Time) > most {
			node.Outputs = last.Outputs
			e.mark(node, last.Phase, "Max duration limit exceeded")
			return
		}
	}
	node.Message = ""
	if left := last.FinishedAt.Add(pause).Sub(e.seen.Now); left > 0 {
		node.Message = backoffMessage + pause.String()
		e.again(left)
	}
}

// Duration reads seconds ("10") or a duration ("10s", "1d").
func Duration(text string, vars *expand.Scope) (time.Duration, error) {
	text, err := expand.Text(strings.TrimSpace(text), vars)
	if err != nil {
		return 0, err
	}
	if text == "" {
		return 0, nil
	}
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(seconds) * time.Second, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil {
			return time.Duration(n * 24 * float64(time.Hour)), nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is neither seconds nor a duration such as 10s or 1h", text)
	}
	return d, nil
}
