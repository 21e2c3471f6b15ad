package step

import (
	"cmp"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kiwerk/kiwerk/internal/execpath"
)

// Tags of what only the step knows; the platform makes files of the long ones.
const (
	tagCommit   = "mlflow.source.git.commit"
	tagBranch   = "mlflow.source.git.branch"
	tagCommand  = "kiwerk.code.command"
	tagScript   = "kiwerk.code.script"
	tagDiff     = "kiwerk.code.diff"
	tagPackages = "kiwerk.env.packages"
	tagPython   = "kiwerk.env.python"
	tagSeed     = "kiwerk.seed"
)

const (
	envContext = "MLFLOW_RUN_CONTEXT"
	// What goes into an environment variable: Linux takes 128 KiB of each.
	maxContext  = 120 << 10
	maxDiff     = 32 << 10
	maxPackages = 32 << 10
	maxCommand  = 4000
	gitWait     = 2 * time.Second
)

// withRunContext lets MLflow's client tag each run that the command begins: the
// variable holds JSON that becomes tags. What the author of the step has set
// stays, and nothing is said to other tracking servers.
func withRunContext(environ, command []string, dir string, script *string) []string {
	get := func(key string) string { return lookup(environ, key) }
	if get(envContext) != "" || get(envURL) == "" || get("MLFLOW_TRACKING_URI") != get(envURL) {
		return environ
	}
	tags := map[string]string{}
	shown := command
	if script != nil { // its file has another name each time
		tags[tagScript] = (*script)[:min(len(*script), maxDiff)]
		shown = append(slices.Clone(command[:len(command)-1]), "script")
	}
	line := strings.Join(shown, " ")
	line = strings.ToValidUTF8(line[:min(len(line), maxCommand)], "")
	tags[tagCommand] = line
	if seed := cmp.Or(get("KIWERK_SEED"), get("PYTHONHASHSEED")); seed != "" && seed != "random" {
		tags[tagSeed] = seed
	}
	if python, packages := pythonOf(command, environ); packages != "" {
		tags[tagPython], tags[tagPackages] = python, packages
	}
	if root := repository(dir); root != "" {
		gitTags(root, environ, tags)
	}
	return append(slices.Clone(environ), envContext+"="+encodeTags(tags))
}

// encodeTags leaves out what would make the variable too long for the command to start.
func encodeTags(tags map[string]string) string {
	b, _ := json.Marshal(tags) //nolint:errchkjson // A map of strings always can be.
	for _, drop := range []string{tagDiff, tagScript, tagPackages} {
		if len(b) <= maxContext {
			break
		}
		delete(tags, drop)
		b, _ = json.Marshal(tags) //nolint:errchkjson // As above.
	}
	return string(b)
}

// repository finds the folder with .git at or above dir.
func repository(dir string) string {
	for {
		if _, err := os.Stat(dir + "/.git"); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// gitTags reads the commit from the files of the repository, so that no git is
// needed; what was changed since only git can tell.
func gitTags(root string, environ []string, tags map[string]string) {
	head := firstLine(root + "/.git/HEAD")
	commit := head
	if ref, symbolic := strings.CutPrefix(head, "ref: "); symbolic {
		tags[tagBranch] = strings.TrimPrefix(ref, "refs/heads/")
		if commit = firstLine(root + "/.git/" + ref); commit == "" {
			commit = packedRef(root+"/.git/packed-refs", ref)
		}
	}
	if !hexadecimal(commit) {
		return
	}
	tags[tagCommit] = commit
	if diff := gitDiff(root, environ); diff != "" {
		tags[tagDiff] = diff // json replaces what is no UTF-8
	}
}

// gitDiff is what was changed since the commit, cut where it becomes too long. Without git it is empty.
func gitDiff(root string, environ []string) string {
	git, err := execpath.Find("git", "", environ)
	if err != nil {
		return ""
	}
	read, write, err := os.Pipe()
	if err != nil {
		return ""
	}
	defer read.Close()
	p, err := os.StartProcess(git, []string{"git", "-C", root, "diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD"}, &os.ProcAttr{Env: environ, Files: []*os.File{nil, write, nil}})
	write.Close()
	if err != nil {
		return ""
	}
	late := time.AfterFunc(gitWait, func() { p.Kill() }) //nolint:errcheck // It has ended, then.
	defer late.Stop()
	diff, err := io.ReadAll(io.LimitReader(read, maxDiff))
	read.Close() // git does not wait for somebody to read the rest
	if _, failed := p.Wait(); err != nil || failed != nil {
		return ""
	}
	return string(diff)
}

func firstLine(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}

func packedRef(file, ref string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	before, _, found := strings.Cut(string(b), " "+ref+"\n")
	if !found {
		return ""
	}
	return before[strings.LastIndexByte(before, '\n')+1:]
}

func hexadecimal(s string) bool {
	return len(s) >= 40 && strings.Trim(s, "0123456789abcdef") == ""
}

// pythonOf lists the packages of the Python that a command begins with, else of
// the one in the path, by the names of their folders: asking Python itself takes a second.
func pythonOf(command, environ []string) (python, packages string) {
	program := command[0]
	if !strings.HasPrefix(filepath.Base(program), "python") {
		program = "python3"
	}
	program, err := execpath.Find(program, "", environ)
	if err != nil {
		return "", ""
	}
	lib := filepath.Join(filepath.Dir(filepath.Dir(program)), "lib")
	for _, version := range names(lib) {
		if !strings.HasPrefix(version, "python3") {
			continue
		}
		for _, folder := range []string{"/site-packages", "/dist-packages"} {
			packages += freeze(names(lib + "/" + version + folder))
		}
	}
	if len(packages) > maxPackages {
		packages = packages[:strings.LastIndexByte(packages[:maxPackages], '\n')+1]
	}
	return program, packages
}

// names in a folder, sorted.
func names(folder string) (list []string) {
	all, _ := os.ReadDir(folder) // what is not there has none
	for _, e := range all {
		list = append(list, e.Name())
	}
	return list
}

// freeze writes NAME==VERSION lines.
func freeze(folders []string) (lines string) {
	for _, folder := range folders {
		folder, ok := strings.CutSuffix(folder, ".dist-info")
		name, version, _ := strings.Cut(folder, "-")
		if ok {
			lines += strings.ReplaceAll(name, "_", "-") + "==" + version + "\n"
		}
	}
	return lines
}
