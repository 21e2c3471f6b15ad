package step

import (
	"bytes"
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
func withRunContext(environ, command []string, dir string) []string {
	get := func(key string) string { return lookup(environ, key) }
	if get(envContext) != "" || get(envURL) == "" || get("MLFLOW_TRACKING_URI") != get(envURL) {
		return environ
	}
	line := strings.Join(command, " ")
	if len(line) > maxCommand {
		line = strings.ToValidUTF8(line[:maxCommand], "") + "…"
	}
	tags := map[string]string{tagCommand: line}
	if seed := get("KIWERK_SEED"); seed != "" {
		tags[tagSeed] = seed
	} else if seed := get("PYTHONHASHSEED"); seed != "" && seed != "random" {
		tags[tagSeed] = seed
	}
	if python, packages := pythonOf(command, get("PATH"), get("VIRTUAL_ENV")); packages != "" {
		tags[tagPython], tags[tagPackages] = python, packages
	}
	if root := repository(dir); root != "" {
		gitTags(root, environ, tags)
	}
	return append(slices.Clone(environ), envContext+"="+encodeTags(tags))
}

// encodeTags leaves out what would make the variable too long for the command to start.
func encodeTags(tags map[string]string) string {
	for _, drop := range []string{tagDiff, tagPackages, ""} {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(tags); err == nil && b.Len() <= maxContext {
			return strings.TrimSpace(b.String())
		}
		delete(tags, drop)
	}
	return "{}"
}

// repository finds the folder with .git at or above dir.
func repository(dir string) string {
	for {
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
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
	head := firstLine(filepath.Join(root, ".git", "HEAD"))
	ref, symbolic := strings.CutPrefix(head, "ref: ")
	commit := head
	if symbolic {
		tags[tagBranch] = strings.TrimPrefix(ref, "refs/heads/")
		commit = firstLine(filepath.Join(root, ".git", filepath.FromSlash(ref)))
		if commit == "" {
			commit = packedRef(filepath.Join(root, ".git", "packed-refs"), ref)
		}
	}
	if !hexadecimal(commit) {
		return
	}
	tags[tagCommit] = commit
	if diff := gitDiff(root, environ); diff != "" {
		tags[tagDiff] = strings.ToValidUTF8(diff, "\uFFFD")
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
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(line)
}

func packedRef(file, ref string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if commit, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name == ref {
			return commit
		}
	}
	return ""
}

func hexadecimal(s string) bool {
	return len(s) >= 40 && strings.Trim(s, "0123456789abcdef") == ""
}

// pythonOf lists the packages of the Python that a command begins with, by the
// names of their folders: asking Python itself takes a second.
func pythonOf(command []string, path, venv string) (python, packages string) {
	program := resolve(command[0], path)
	if !strings.HasPrefix(filepath.Base(program), "python") {
		program = resolve("python3", path)
	}
	prefixes := []string{venv, filepath.Dir(filepath.Dir(program))}
	if real, err := filepath.EvalSymlinks(program); err == nil && program != "" {
		prefixes = append(prefixes, filepath.Dir(filepath.Dir(real)))
	}
	for _, prefix := range prefixes {
		if prefix == "" || prefix == "." {
			continue
		}
		var list []string
		for _, folder := range []string{"site-packages", "dist-packages"} {
			for _, lib := range entries(filepath.Join(prefix, "lib"), "python3", "") {
				list = append(list, entries(filepath.Join(lib, folder), "", ".dist-info")...)
			}
		}
		if len(list) > 0 {
			return program, freeze(list)
		}
	}
	return "", ""
}

// entries of a folder whose names begin and end so.
func entries(folder, prefix, suffix string) (list []string) {
	all, err := os.ReadDir(folder)
	if err != nil {
		return nil
	}
	for _, e := range all {
		if strings.HasPrefix(e.Name(), prefix) && strings.HasSuffix(e.Name(), suffix) {
			list = append(list, filepath.Join(folder, e.Name()))
		}
	}
	return list
}

func resolve(program, path string) string {
	if strings.Contains(program, "/") {
		return program
	}
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, program)
		if st, err := os.Stat(file); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return file
		}
	}
	return ""
}

// freeze writes NAME==VERSION lines; what does not fit is left out at a line's end.
func freeze(folders []string) string {
	var lines []string
	for _, folder := range folders {
		name, version, ok := strings.Cut(strings.TrimSuffix(filepath.Base(folder), ".dist-info"), "-")
		if ok {
			lines = append(lines, strings.ReplaceAll(name, "_", "-")+"=="+version+"\n")
		}
	}
	slices.Sort(lines)
	var b strings.Builder
	for _, line := range slices.Compact(lines) {
		if b.Len()+len(line) > maxPackages {
			break
		}
		b.WriteString(line)
	}
	return b.String()
}
