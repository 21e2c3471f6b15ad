package rootfs

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// OwnSource is the mount source of what the platform itself mounted for the
// node. Containers look through such mounts to the host below.
const OwnSource = "kiwerk"

// Mount is one line of /proc/self/mountinfo, as far as it is needed here.
type Mount struct {
	Point  string
	FSType string
	Source string
	// Root is which directory of the file system is mounted, Options are those of the file system.
	Root, Options string
}

// ParseMounts reads the format of /proc/self/mountinfo (proc_pid_mountinfo(5)).
func ParseMounts(r io.Reader) ([]Mount, error) {
	var mounts []Mount
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), 1<<20)
	for lines.Scan() {
		m, err := parseMount(lines.Text())
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, m)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read mountinfo: %w", err)
	}
	return mounts, nil
}

// parseMount reads "36 35 98:0 /root /point opts [tags…] - type source super".
func parseMount(line string) (Mount, error) {
	before, after, found := strings.Cut(line, " - ")
	left, right := strings.Fields(before), strings.Fields(after)
	if !found || len(left) < 6 || len(right) < 1 {
		return Mount{}, fmt.Errorf("mountinfo: unexpected line %q", line)
	}
	m := Mount{Point: unescape(left[4]), FSType: right[0], Root: unescape(left[3])}
	if len(right) > 1 {
		m.Source = unescape(right[1])
	}
	if len(right) > 2 {
		m.Options = right[2]
	}
	if !strings.HasPrefix(m.Point, "/") {
		return Mount{}, fmt.Errorf("mountinfo: mount point %q is not absolute", m.Point)
	}
	return m, nil
}

// unescape turns the \040 form of blanks, tabs, newlines and backslashes back.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && octal(s[i+1:i+4]) {
			b.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func octal(s string) bool {
	return s[0] >= '0' && s[0] <= '3' && s[1] >= '0' && s[1] <= '7' && s[2] >= '0' && s[2] <= '7'
}
