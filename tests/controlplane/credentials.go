package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// credentials are made anew for every control plane, so that nothing can be mistaken for another one's.
type credentials struct {
	token string            // of the administrator
	ca    *x509.Certificate // signed the API server's certificate

	// Files that the API server reads.
	tokens, serverCert, serverKey, serviceAccountKey string
}

func newCredentials(dir string) (*credentials, error) {
	c := &credentials{
		token:             rand.Text(),
		tokens:            filepath.Join(dir, "tokens.csv"),
		serverCert:        filepath.Join(dir, "server.crt"),
		serverKey:         filepath.Join(dir, "server.key"),
		serviceAccountKey: filepath.Join(dir, "service-account.key"),
	}
	// Columns: token, user, uid, groups.
	if err := writeFile(c.tokens, c.token+",admin,admin,system:masters\n"); err != nil {
		return nil, err
	}
	if _, err := writeKey(c.serviceAccountKey); err != nil {
		return nil, err
	}
	return c, c.writeServerCert()
}

// writeServerCert makes a CA and a certificate of it. The CA's key is forgotten.
func (c *credentials) writeServerCert() error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	caTemplate := template("controlplane CA")
	caTemplate.IsCA, caTemplate.BasicConstraintsValid, caTemplate.KeyUsage = true, true, x509.KeyUsageCertSign
	caDER, err := x509.CreateCertificate(rand.Reader, caTemplate, caTemplate, &caKey.PublicKey, caKey)
	if err != nil {
		return err
	}
	if c.ca, err = x509.ParseCertificate(caDER); err != nil {
		return err
	}

	serverKey, err := writeKey(c.serverKey)
	if err != nil {
		return err
	}
	serverTemplate := template("kube-apiserver")
	serverTemplate.IPAddresses, serverTemplate.DNSNames = []net.IP{net.IPv4(127, 0, 0, 1)}, []string{"localhost"}
	serverTemplate.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	serverDER, err := x509.CreateCertificate(rand.Reader, serverTemplate, c.ca, &serverKey.PublicKey, caKey)
	if err != nil {
		return err
	}
	return writeFile(c.serverCert, encodePEM("CERTIFICATE", serverDER))
}

// kubeconfig of the administrator.
func (c *credentials) kubeconfig(server string) string {
	ca := base64.StdEncoding.EncodeToString([]byte(encodePEM("CERTIFICATE", c.ca.Raw)))
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: controlplane
clusters:
- name: controlplane
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: admin
  user:
    token: %s
contexts:
- name: controlplane
  context:
    cluster: controlplane
    user: admin
`, server, ca, c.token)
}

// template of a certificate that is valid for a year, and an hour ago for clocks that are behind.
func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(1, 0, 0),
	}
}

func writeKey(path string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writeFile(path, encodePEM("EC PRIVATE KEY", der))
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func writeFile(path, content string) error {
	return os.WriteFile(path, []byte(content), 0o600)
}
