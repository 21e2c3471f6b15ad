package store

import (
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Same tells whether two addresses, as Open takes them, lead to one database,
// however they are written. Users and passwords may differ.
func Same(a, b string) bool {
	if isPostgres(a) != isPostgres(b) {
		return false
	}
	if isPostgres(a) {
		return samePostgres(a, b)
	}
	a, b = strings.TrimPrefix(a, "sqlite:///"), strings.TrimPrefix(b, "sqlite:///")
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

func samePostgres(a, b string) bool {
	one, err := pgconn.ParseConfig(postgresURI.ReplaceAllString(a, "postgresql://"))
	if err != nil {
		return false
	}
	other, err := pgconn.ParseConfig(postgresURI.ReplaceAllString(b, "postgresql://"))
	return err == nil && oneHost(one.Host) == oneHost(other.Host) && one.Port == other.Port && one.Database == other.Database &&
		one.RuntimeParams["search_path"] == other.RuntimeParams["search_path"] && one.RuntimeParams["options"] == other.RuntimeParams["options"]
}

// oneHost gives this machine one name.
func oneHost(host string) string {
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		return "localhost"
	}
	return strings.ToLower(host)
}
