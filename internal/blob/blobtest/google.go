package blobtest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Account is the service account of [StartIAM].
const Account = "kiwerk@test.iam.gserviceaccount.com"

// Credentials writes a file of credentials of Google Cloud and has it found.
func Credentials(t testing.TB, values map[string]any) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "credentials.json")
	content, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
}

// StartIAM is a stand-in for Google's IAM, with the credentials of an identity
// that stands for a service account. It signs as sign does, or refuses if that
// gives nil.
func StartIAM(t testing.TB, sign func(payload []byte) []byte) {
	t.Helper()
	answer := func(v any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if err := json.NewEncoder(w).Encode(v); err != nil {
				t.Error(err)
			}
		}
	}
	const account = "/v1/projects/-/serviceAccounts/" + Account
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", answer(map[string]any{"access_token": "federated", "expires_in": 3600, "token_type": "Bearer", "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}))
	mux.HandleFunc("POST "+account+":generateAccessToken", answer(map[string]any{"accessToken": "impersonated", "expireTime": time.Now().Add(time.Hour)}))
	mux.HandleFunc("POST "+account+":signBlob", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Payload []byte }
		err := json.NewDecoder(r.Body).Decode(&in)
		signature := sign(in.Payload)
		if err != nil || r.Header.Get("Authorization") != "Bearer impersonated" || signature == nil {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		answer(map[string]any{"signedBlob": signature})(w, r)
	})
	iam := httptest.NewServer(mux)
	t.Cleanup(iam.Close)
	subject := filepath.Join(t.TempDir(), "subject")
	if err := os.WriteFile(subject, []byte("subject"), 0o600); err != nil {
		t.Fatal(err)
	}
	Credentials(t, map[string]any{
		"type": "external_account", "audience": "a", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": iam.URL + "/token",
		"credential_source": map[string]any{"file": subject}, "service_account_impersonation_url": iam.URL + account + ":generateAccessToken",
	})
}
