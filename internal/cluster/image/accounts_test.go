package image

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	passwdFile = "root:x:0:0:root:/root:/bin/sh\n# comment\nbroken:line\napp:x:1000:1001:App,,,:/home/app:/bin/sh\nminus:x:4294967295:0::/:\nnowhere:x:5:5::relative:\n"
	groupFile  = "root:x:0:\napp:x:1001:app\nvideo:x:44:other,app\nbad:x:y:app\naudio:x:29:app\n"
)

func TestLookUp(t *testing.T) {
	for spec, want := range map[string]Account{
		"":            {0, 0, nil, "/root"},
		"0":           {0, 0, nil, "/root"},
		"root":        {0, 0, nil, "/root"},
		"app":         {1000, 1001, []uint32{44, 29}, "/home/app"},
		"1000":        {1000, 1001, []uint32{44, 29}, "/home/app"},
		"1000:0":      {1000, 0, nil, "/home/app"},
		"app:video":   {1000, 44, nil, "/home/app"},
		"app:77":      {1000, 77, nil, "/home/app"},
		"65532:65532": {65532, 65532, nil, "/"},
		"65532":       {65532, 0, nil, "/"},
		"nowhere":     {5, 5, nil, "/"},
	} {
		got, err := LookUp(spec, []byte(passwdFile), []byte(groupFile))
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("LookUp(%q) = %+v, %v; want %+v", spec, got, err, want)
		}
	}
	for spec, want := range map[string]string{
		"nobody": "not in the image's /etc/passwd", "app:nogroup": "not in the image's /etc/group",
		"minus": "not in the image's /etc/passwd", "4294967295": "not in", "-1": "not in", "app:": "not in the image's /etc/group",
	} {
		if _, err := LookUp(spec, []byte(passwdFile), []byte(groupFile)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("LookUp(%q): %v, want %q", spec, err, want)
		}
	}
}

func FuzzLookUp(f *testing.F) {
	f.Add("app:video", []byte(passwdFile), []byte(groupFile))
	f.Add("1000", []byte("a:::::/:\n:::"), []byte(":\n::::::"))
	f.Fuzz(func(t *testing.T, spec string, passwd, group []byte) {
		a, err := LookUp(spec, passwd, group)
		if err != nil {
			return
		}
		if a.UID == 1<<32-1 || a.GID == 1<<32-1 || !strings.HasPrefix(a.Home, "/") || len(a.Groups) > maxGroups {
			t.Errorf("LookUp(%q) = %+v", spec, a)
		}
	})
}
