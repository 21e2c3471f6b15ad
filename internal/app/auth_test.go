package app

import (
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/kwtest"
	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/workspaces"
)

// account makes a service account and a token for it.
func account(t *testing.T, namespace, name string, audiences ...string) (token string) {
	t.Helper()
	c := kwtest.Client(t, nil)
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := c.Create(t.Context(), sa); err != nil {
		t.Fatal(err)
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}
	if err := c.SubResource("token").Create(t.Context(), sa, request); err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

// mayRead lets a service account read namespace's experiments.
func mayRead(t *testing.T, namespace string, account rbacv1.Subject) {
	t.Helper()
	c := kwtest.Client(t, nil)
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "readers"}
	role := &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{server.GroupKiwerk}, Resources: []string{"experiments"}, Verbs: []string{"get", "list"},
	}}}
	binding := &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name}, Subjects: []rbacv1.Subject{account}}
	if err := errors.Join(c.Create(t.Context(), role), c.Create(t.Context(), binding)); err != nil {
		t.Fatal(err)
	}
}

// TestAuthenticator_serviceAccount: its token is what MLFLOW_TRACKING_TOKEN
// sends, and the password of clients that know no tokens.
func TestAuthenticator_serviceAccount(t *testing.T) {
	ns, c := kwtest.Namespace(t), kwtest.Client(t, nil)
	plain, ours, foreign := account(t, ns, "plain"), account(t, ns, "ours", kube.TokenAudience), account(t, ns, "foreign", "vault")
	mayRead(t, ns, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: ns, Name: "plain"})
	authenticator, authorizer := newAuthenticator(nil, c, clock.RealClock{}), newAuthorizer(c, clock.RealClock{})
	cases := map[string]struct {
		header, account string
		reads           bool
	}{
		"Token":         {"Bearer " + plain, "plain", true},
		"Password":      {"Basic " + base64.StdEncoding.EncodeToString([]byte("anybody:"+plain)), "plain", true},
		"OurAudience":   {"Bearer " + ours, "ours", false},
		"OtherAudience": {"Bearer " + foreign, "", false},
		"Changed":       {"Bearer " + plain[:len(plain)-4] + "AAAA", "", false},
		"TokenAsName":   {"Basic " + base64.StdEncoding.EncodeToString([]byte(plain+":")), "", false},
		"EmptyPassword": {"Basic " + base64.StdEncoding.EncodeToString([]byte("anybody:")), "", false},
		"NoCredentials": {"", "", false},
		"OtherPassword": {"Basic " + base64.StdEncoding.EncodeToString([]byte("anybody:secret")), "", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
			if tc.header != "" {
				r.Header.Set("Authorization", tc.header)
			}
			user, err := authenticator.Authenticate(r)
			if tc.account == "" {
				if !errors.Is(err, server.ErrUnauthenticated) {
					t.Errorf("user %+v, error %v", user, err)
				}
				return
			}
			want := "system:serviceaccount:" + ns + ":" + tc.account
			if err != nil || user.Name != want || user.Local || !slices.Contains(user.Groups, "system:serviceaccounts:"+ns) {
				t.Fatalf("user %+v, error %v", user, err)
			}
			if err := authorizer.Authorize(t.Context(), user, server.Can("get", "experiments"), ns); (err == nil) != tc.reads {
				t.Errorf("may read: %v", err)
			}
			for _, denied := range []struct{ verb, namespace string }{{"update", ns}, {"get", "kube-system"}} {
				if err := authorizer.Authorize(t.Context(), user, server.Can(denied.verb, "experiments"), denied.namespace); !errors.Is(err, errDenied) {
					t.Errorf("%+v: %v", denied, err)
				}
			}
		})
	}
}

func TestNamespaces_asUsersSeeThem(t *testing.T) {
	ns, c := kwtest.Namespace(t), kwtest.Client(t, nil)
	reader, stranger := account(t, ns, "reader"), account(t, ns, "stranger")
	mayRead(t, ns, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: ns, Name: "reader"})
	authorizer := newAuthorizer(c, clock.RealClock{})
	s, err := server.New(server.Options{
		Authenticator: newAuthenticator(&Local{Token: "local"}, c, clock.RealClock{}), Authorizer: authorizer, Logger: slog.New(slog.DiscardHandler),
		Endpoints: workspaces.Elsewhere(mlwire.Codec{}, namespaces{c, authorizer}),
	})
	if err != nil {
		t.Fatal(err)
	}
	const path = "/api/3.0/mlflow/workspaces"
	one := func(name string) string { return `{"workspace":{"name":"` + name + `"}}` }
	cases := map[string]struct {
		method, path, token string
		status              int
		has, hasNot         string
	}{
		"All":            {"GET", path, "local", 200, `"kube-system"`, ""},
		"Own":            {"GET", path, reader, 200, `{"workspaces":[{"name":"` + ns + `"}]}`, ""},
		"None":           {"GET", path, stranger, 200, `{"workspaces":[]}`, ""},
		"Nobody":         {"GET", path, "", 401, "UNAUTHENTICATED", ns},
		"One":            {"GET", path + "/" + ns, reader, 200, one(ns), ""},
		"OneOfAll":       {"GET", path + "/kube-system", "local", 200, one("kube-system"), ""},
		"OneOfOthers":    {"GET", path + "/kube-system", reader, 404, "RESOURCE_DOES_NOT_EXIST", ""},
		"OneThatIsNot":   {"GET", path + "/nothing", "local", 404, "RESOURCE_DOES_NOT_EXIST", ""},
		"OneThatCannot":  {"GET", path + "/a%2Fb", "local", 404, "RESOURCE_DOES_NOT_EXIST", ""},
		"OneUnknownUser": {"GET", path + "/" + ns, "wrong", 401, "UNAUTHENTICATED", ""},
		"Create":         {"POST", path, reader, 501, "kubectl create namespace", ""},
		"Change":         {"PATCH", path + "/" + ns, reader, 501, "kubectl create namespace", ""},
		"Delete":         {"DELETE", path + "/" + ns, reader, 501, "kubectl delete namespace", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), tc.method, "http://127.0.0.1"+tc.path, http.NoBody)
			if tc.token != "" {
				r.Header.Set("Authorization", "Bearer "+tc.token)
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			body := w.Body.String()
			if w.Code != tc.status || !strings.Contains(body, tc.has) || tc.hasNot != "" && strings.Contains(body, tc.hasNot) {
				t.Errorf("%d %s", w.Code, body)
			}
		})
	}
}
