//go:build linux

package local

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kiwerk/kiwerk/internal/buildinfo"
	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/text"
)

// progress prints what a start is doing, one line per phase.
type progress struct {
	session cli.Session
	begun   time.Time
}

// Phases as the launcher prints them, in the names of the protocol.
const (
	phaseData        = "data"
	phaseNetwork     = "network"
	phaseKubernetes  = "kubernetes"
	phaseControllers = "controllers"
	phaseNode        = "node"
	phasePods        = "pods"
)

var phaseKeys = map[string]text.Key{
	phaseData: text.UpPhaseData, phaseKubernetes: text.UpPhaseKubernetes, phaseControllers: text.UpPhaseControllers,
	phaseNode: text.UpPhaseNode, phasePods: text.UpPhaseAdopted,
}

const (
	nameWidth   = 12
	detailWidth = 48
	nextWidth   = 32
	// columnGap keeps a command apart from what it is for, so that a copied line ends where it should.
	columnGap = 2
)

func (p *progress) talk() io.Writer {
	if p.session.Quiet {
		return io.Discard
	}
	return p.session.Err
}

func (p *progress) title() {
	fmt.Fprintf(p.talk(), "Kiwerk %s\n", buildinfo.Version())
}

// phase prints one line, aligned.
func (p *progress) phase(name, detail string, took time.Duration) {
	key, ok := phaseKeys[name]
	if !ok {
		return
	}
	mark := "✓"
	if p.session.Terminal {
		mark = "\x1b[32m✓\x1b[0m"
	}
	fmt.Fprintf(p.talk(), "  %s %s %s %s\n", mark, pad(p.session.Text.T(key), nameWidth), pad(detail, detailWidth),
		p.session.Text.T(text.Seconds, took.Seconds()))
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// ready prints the addresses and the next two commands; only commands that exist are suggested.
func (p *progress) ready(run runState, took time.Duration, detached bool) {
	t := p.session.Text
	w := p.talk()
	url := run.URL
	fmt.Fprintf(w, "%s\n\n", t.T(text.UpReady, took.Seconds()))
	fmt.Fprintf(w, "  %s %s\n", pad(t.T(text.UpStartPage), nameWidth), url)
	fmt.Fprintf(w, "  %s export MLFLOW_TRACKING_URI=%s\n", pad(t.T(text.UpTracking), nameWidth), url)
	fmt.Fprintf(w, "  %s export KUBECONFIG=%s\n\n", pad(t.T(text.UpKubectl), nameWidth), run.Kubeconfig)
	next := [][2]string{{"kiwerk demo quality-inspection", t.T(text.UpNextDemo)}, {"kiwerk doctor", t.T(text.UpNextDoctor)}}
	if detached {
		next = [][2]string{{"kiwerk status", t.T(text.UpNextStatus)}, {"kiwerk down", t.T(text.UpNextDown)}}
	}
	width := nextWidth
	for i := range next {
		next[i][0] = t.Command(next[i][0])
		width = max(width, utf8.RuneCountInString(next[i][0])+columnGap)
	}
	lead := t.T(text.UpNext) + "  "
	for _, n := range next {
		fmt.Fprintf(w, "%s%s %s\n", lead, pad(n[0], width), n[1])
		lead = strings.Repeat(" ", utf8.RuneCountInString(lead))
	}
}
