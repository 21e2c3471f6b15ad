//go:build linux

package seccomp

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Where the kernel's description of a call has its parts; words are in the machine's order.
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16
	wordSize  = 4
	argSize   = 8
)

// maxProgram is the kernel's limit of instructions.
const maxProgram = 4096

// Compile makes the program for the kernel: instructions as an array of struct sock_filter.
func (p *Profile) Compile() ([]byte, error) {
	code, err := p.assemble()
	if err != nil {
		return nil, err
	}
	if len(code) > maxProgram {
		return nil, fmt.Errorf("the seccomp profile is too large: %d instructions, at most %d are possible", len(code), maxProgram)
	}
	raw, err := bpf.Assemble(code)
	if err != nil {
		return nil, fmt.Errorf("assemble seccomp filter: %w", err)
	}
	var out []byte
	for _, i := range raw {
		out = binary.NativeEndian.AppendUint16(out, i.Op)
		out = append(out, i.Jt, i.Jf)
		out = binary.NativeEndian.AppendUint32(out, i.K)
	}
	return out, nil
}

func (p *Profile) assemble() ([]bpf.Instruction, error) {
	code := []bpf.Instruction{
		bpf.LoadAbsolute{Off: offArch, Size: wordSize},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: architecture, SkipTrue: 1},
		// Programs of another architecture have other numbers for calls.
		result(ActErrno, uint(unix.ENOSYS)),
		bpf.LoadAbsolute{Off: offNumber, Size: wordSize},
	}
	if foreignBits != 0 {
		code = append(code,
			bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: foreignBits, SkipTrue: 1},
			result(ActErrno, uint(unix.ENOSYS)))
	}
	for _, r := range p.Rules {
		for _, name := range r.Names {
			number, known := numbers[name]
			if !known {
				continue
			}
			for _, args := range alternatives(r.Args) {
				block, err := r.block(number, args)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", name, err)
				}
				code = append(code, block...)
			}
		}
	}
	return append(code, result(p.DefaultAction, errno(p.DefaultErrno))), nil
}

// alternatives splits conditions of one rule that concern the same argument
// more than once: of those any may hold, as other runtimes have it.
func alternatives(args []Arg) [][]Arg {
	seen := map[uint]bool{}
	for _, a := range args {
		if seen[a.Index] {
			var each [][]Arg
			for _, one := range args {
				each = append(each, []Arg{one})
			}
			return each
		}
		seen[a.Index] = true
	}
	return [][]Arg{args}
}

// block decides about one call; it is left with the number loaded if it does not apply.
func (r Rule) block(number uint32, args []Arg) ([]bpf.Instruction, error) {
	end := result(r.Action, errno(r.Errno))
	if len(args) == 0 {
		return []bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpEqual, Val: number, SkipFalse: 1}, end}, nil
	}
	body := []bpf.Instruction{end, bpf.LoadAbsolute{Off: offNumber, Size: wordSize}}
	// From the last condition to the first, each knows how far it is to the end.
	for i := len(args) - 1; i >= 0; i-- {
		body = append(args[i].test(len(body)-1), body...)
	}
	if len(body) > 255 {
		return nil, fmt.Errorf("%d conditions are too many", len(args))
	}
	return append([]bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpEqual, Val: number, SkipFalse: uint8(len(body))}}, body...), nil
}

// test goes on with the next instruction if the condition holds, and otherwise
// skips what follows it up to the reload, which is rest instructions away.
func (a Arg) test(rest int) []bpf.Instruction {
	low, high := uint32(a.Value), uint32(a.Value>>32)
	loadLow := bpf.LoadAbsolute{Off: offArgs + argSize*uint32(a.Index), Size: wordSize}
	loadHigh := bpf.LoadAbsolute{Off: loadLow.Off + wordSize, Size: wordSize}
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		loadLow.Off, loadHigh.Off = loadHigh.Off, loadLow.Off
	}
	fail := uint8(rest)
	switch a.Op {
	case OpEqual:
		return []bpf.Instruction{
			loadHigh,
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: high, SkipFalse: fail + 2},
			loadLow,
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: low, SkipFalse: fail},
		}
	case OpNotEqual:
		return []bpf.Instruction{
			loadHigh,
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: high, SkipFalse: 2},
			loadLow,
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: low, SkipTrue: fail},
		}
	case OpMaskedEqual:
		return []bpf.Instruction{
			loadHigh,
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: high},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(a.ValueTwo >> 32), SkipFalse: fail + 3},
			loadLow,
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: low},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(a.ValueTwo), SkipFalse: fail},
		}
	case OpAnySet:
		return []bpf.Instruction{
			loadHigh,
			bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: high, SkipTrue: 2},
			loadLow,
			bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: low, SkipFalse: fail},
		}
	case OpLess, OpLessOrEqual, OpGreater, OpGreaterOrEqual:
	}
	return order(a.Op, low, high, loadLow, loadHigh, fail)
}

// order compares by size: the high words decide unless they are equal.
func order(op Op, low, high uint32, loadLow, loadHigh bpf.Instruction, fail uint8) []bpf.Instruction {
	last := bpf.JumpIf{Val: low, SkipFalse: fail}
	greater := op == OpGreater || op == OpGreaterOrEqual
	switch op {
	case OpGreater:
		last.Cond = bpf.JumpGreaterThan
	case OpGreaterOrEqual:
		last.Cond = bpf.JumpGreaterOrEqual
	case OpLess:
		last.Cond = bpf.JumpLessThan
	default:
		last.Cond = bpf.JumpLessOrEqual
	}
	differ := bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: high, SkipTrue: 3}
	if !greater {
		differ = bpf.JumpIf{Cond: bpf.JumpLessThan, Val: high, SkipTrue: 3}
	}
	return []bpf.Instruction{
		loadHigh,
		differ, // over all, as it holds
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: high, SkipFalse: fail + 2},
		loadLow,
		last,
	}
}

func errno(n *uint) uint {
	if n == nil {
		return uint(unix.EPERM)
	}
	return *n
}

func result(a Action, errno uint) bpf.Instruction {
	switch a {
	case ActAllow:
		return bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
	case ActLog:
		return bpf.RetConstant{Val: unix.SECCOMP_RET_LOG}
	case ActTrap:
		return bpf.RetConstant{Val: unix.SECCOMP_RET_TRAP}
	case ActErrno:
		return bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(errno)}
	case ActKillProcess:
		return bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS}
	case ActKill, ActKillThread:
	}
	return bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_THREAD}
}
