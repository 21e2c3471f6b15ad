package access

import (
	"crypto/rand"
	"crypto/subtle"
	"html"
	"io"
	"net/http"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// csrf is the cookie whose value a form must repeat: a browser sends the
// password and the cookie along with any request, but only the form of our page
// has the value; no script and no page of another site can read it.
const (
	csrf      = "kiwerk_csrf"
	csrfField = "csrf_token" // upstream's name, which scripts look for
)

// signup is the form of the page.
func signup(w http.ResponseWriter, r *http.Request) {
	token := rand.Text()
	http.SetCookie(w, &http.Cookie{Name: csrf, Value: token, Path: "/", HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode})
	page(w, `<h1>New user</h1><form method="post" action="api/2.0/mlflow/users/create-ui">
<input type="hidden" name="`+csrfField+`" value="`+token+`">
<label>Name <input name="username" required autocomplete="off"></label>
<label>Password <input name="password" type="password" minlength="12" required autocomplete="new-password"></label>
<button>Create</button></form>`)
}

func page(w http.ResponseWriter, content string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'")
	_, _ = io.WriteString(w, `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>New user</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:24rem;margin:3rem auto}label,input,button{display:block;width:100%;margin:.3rem 0}</style></head>
<body>`+content+`</body></html>
`) // the client has gone; there is nobody to tell
}

// signedUp makes the user of the form.
func (s *Service) signedUp(a *ask, w http.ResponseWriter) {
	name, err := s.signUp(a)
	if err != nil {
		s.o.Codec.Error(w, a.Request, err)
		return
	}
	page(w, "<h1>New user</h1><p>Successfully signed up user: "+html.EscapeString(name)+"</p>")
}

func (s *Service) signUp(a *ask) (name string, err error) {
	if err := a.ParseForm(); err != nil {
		return "", model.Invalid("Invalid form: %w", err)
	}
	if err := ofOurPage(a.Request); err != nil {
		return "", err
	}
	if !a.who.Admin && !a.administers() {
		return "", errForbidden
	}
	name = a.PostForm.Get("username")
	_, err = s.create(a.Context(), name, a.PostForm.Get("password"), false)
	return name, err
}

// ofOurPage tells whether a form was sent by the page of this server.
func ofOurPage(r *http.Request) error {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return server.Errorf(http.StatusForbidden, "PERMISSION_DENIED", "The form was sent by a page of another site.")
	}
	token := r.PostForm.Get(csrfField)
	cookie, err := r.Cookie(csrf)
	if token == "" || err != nil {
		return server.Errorf(http.StatusBadRequest, "BAD_REQUEST", "The CSRF token is missing. Open /signup and send its form.")
	}
	if subtle.ConstantTimeCompare([]byte(token), []byte(cookie.Value)) == 0 {
		return server.Errorf(http.StatusBadRequest, "BAD_REQUEST", "The CSRF token is invalid. Open /signup again and send its form.")
	}
	return nil
}
