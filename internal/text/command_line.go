package text

import (
	"regexp"
	"strings"
)

// suggested finds the commands of ours that work on a data directory.
var suggested = regexp.MustCompile(`\bkiwerk (up|down|status|doctor|image|gpu|node|pipeline|runs|models|retrain|kubectl|lint)\b`)

// WithDataDir gives a printer whose sentences name the data directory in each
// command that they suggest, so that it works when it is copied.
func (p *Printer) WithDataDir(dir string) *Printer {
	return newPrinter(p.lang, " --data-dir "+Quote(dir))
}

// Command is a suggested command as the user has to call it.
func (p *Printer) Command(line string) string {
	if p.dataDir == "" || strings.Contains(line, "--data-dir") {
		return line
	}
	return suggested.ReplaceAllStringFunc(line, func(command string) string {
		return strings.Replace(command, "kiwerk", "kiwerk"+p.dataDir, 1)
	})
}

var plainWord = regexp.MustCompile(`^[\w@%+=:,./-]+$`)

// Quote makes one word of a shell.
func Quote(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
