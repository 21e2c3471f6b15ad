package modelserver

import "testing"

func TestDefaultListen(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"ByHand":        {nil, "127.0.0.1:8080"},
		"GivenPort":     {map[string]string{"PORT": "20001", "KUBERNETES_SERVICE_HOST": "127.0.0.1"}, "127.0.0.1:20001"},
		"OwnPodNetwork": {map[string]string{"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, ":8080"},
	} {
		if got := defaultListen(func(k string) string { return c.env[k] }); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
