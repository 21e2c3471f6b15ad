//go:build linux

package seccomp

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Action is what happens with a call.
type Action string

// The actions that a profile may name.
const (
	ActAllow       Action = "SCMP_ACT_ALLOW"
	ActLog         Action = "SCMP_ACT_LOG"
	ActErrno       Action = "SCMP_ACT_ERRNO"
	ActTrap        Action = "SCMP_ACT_TRAP"
	ActKill        Action = "SCMP_ACT_KILL"
	ActKillThread  Action = "SCMP_ACT_KILL_THREAD"
	ActKillProcess Action = "SCMP_ACT_KILL_PROCESS"
)

// Op compares an argument of a call.
type Op string

// The comparisons that a profile may name; OpAnySet is ours.
const (
	OpNotEqual       Op = "SCMP_CMP_NE"
	OpLess           Op = "SCMP_CMP_LT"
	OpLessOrEqual    Op = "SCMP_CMP_LE"
	OpEqual          Op = "SCMP_CMP_EQ"
	OpGreaterOrEqual Op = "SCMP_CMP_GE"
	OpGreater        Op = "SCMP_CMP_GT"
	// OpMaskedEqual holds if the argument's bits in Value equal ValueTwo.
	OpMaskedEqual Op = "SCMP_CMP_MASKED_EQ"
	// OpAnySet holds if the argument has any of the bits in Value.
	OpAnySet Op = "any set"
)

// Profile decides about calls. The first rule that holds is taken.
type Profile struct {
	DefaultAction Action `json:"defaultAction"`
	DefaultErrno  *uint  `json:"defaultErrnoRet,omitempty"`
	Rules         []Rule `json:"syscalls"`
	// ListenerPath would ask a program outside; that is not supported.
	ListenerPath string `json:"listenerPath,omitempty"`
}

// Rule is for calls by name, if all its conditions on arguments hold.
type Rule struct {
	Names  []string `json:"names"`
	Action Action   `json:"action"`
	Errno  *uint    `json:"errnoRet,omitempty"`
	Args   []Arg    `json:"args,omitempty"`
}

// Arg is a condition on one argument.
type Arg struct {
	Index    uint   `json:"index"`
	Value    uint64 `json:"value"`
	ValueTwo uint64 `json:"valueTwo,omitempty"`
	Op       Op     `json:"op"`
}

const (
	maxArgs  = 6
	maxErrno = 4095
)

// Parse reads a profile in the form of the OCI runtime specification. Names
// that this kernel's architecture does not have are left out of account, as
// profiles name the calls of all.
func Parse(data []byte) (*Profile, error) {
	var p Profile
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("not a seccomp profile in JSON: %w", err)
	}
	return &p, p.check()
}

func (p *Profile) check() error {
	var errs []error
	if p.ListenerPath != "" {
		errs = append(errs, errors.New("listenerPath is not supported"))
	}
	errs = append(errs, checkAction("defaultAction", p.DefaultAction, p.DefaultErrno))
	for i, r := range p.Rules {
		at := fmt.Sprintf("syscalls[%d]", i)
		errs = append(errs, checkAction(at+".action", r.Action, r.Errno))
		for j, a := range r.Args {
			if a.Index >= maxArgs {
				errs = append(errs, fmt.Errorf("%s.args[%d].index: %d, calls have %d arguments", at, j, a.Index, maxArgs))
			}
			if !slices.Contains([]Op{OpNotEqual, OpLess, OpLessOrEqual, OpEqual, OpGreaterOrEqual, OpGreater, OpMaskedEqual}, a.Op) {
				errs = append(errs, fmt.Errorf("%s.args[%d].op: unknown comparison %q", at, j, a.Op))
			}
		}
	}
	return errors.Join(errs...)
}

func checkAction(at string, a Action, errno *uint) error {
	if !slices.Contains([]Action{ActAllow, ActLog, ActErrno, ActTrap, ActKill, ActKillThread, ActKillProcess}, a) {
		return fmt.Errorf("%s: %q is not one of the supported actions SCMP_ACT_ALLOW, _LOG, _ERRNO, _TRAP, _KILL, _KILL_THREAD and _KILL_PROCESS", at, a)
	}
	if errno != nil && *errno > maxErrno {
		return fmt.Errorf("%s: error number %d is above %d", at, *errno, maxErrno)
	}
	return nil
}
