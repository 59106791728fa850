package gateway

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/bbws/order-lambda/local/lambdaapi"
)

const (
	issuer   = "https://cognito-idp.eu-west-1.amazonaws.com/local"
	audience = "customer-portal"
)

// key signs the tokens of every local stack. It is no secret: it opens nothing
// but services on this machine that hold made-up orders.
func key() ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("the local stack's user pool"))
	return ed25519.NewKeyFromSeed(seed[:])
}

// An Identity is who a token is for.
type Identity struct {
	Tenant string   // custom:tenantId; left out if empty
	Email  string   // left out if empty
	Groups []string // cognito:groups; left out if empty
}

// Token returns a token that the gateway accepts for the given time. A negative
// time makes one that has expired.
func Token(id Identity, valid time.Duration) (string, error) {
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": issuer, "aud": audience, "token_use": "id", "sub": lambdaapi.NewID(),
		"iat": now.Unix(), "auth_time": now.Unix(), "exp": now.Add(valid).Unix(), "email_verified": true,
	}
	if id.Tenant != "" {
		claims["custom:tenantId"] = id.Tenant
	}
	if id.Email != "" {
		claims["email"] = id.Email
	}
	if len(id.Groups) > 0 {
		claims["cognito:groups"] = id.Groups
	}
	return jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims).SignedString(key())
}

// authorize checks an Authorization header as a Cognito authorizer does, with
// or without "Bearer", and returns the claims as API Gateway passes them on:
// every one a string, lists joined by commas, times spelled out.
func authorize(header string) (map[string]any, error) {
	token := strings.TrimPrefix(header, "Bearer ")
	if token == "" {
		return nil, errors.New("no token")
	}
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return key().Public(), nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithExpirationRequired(),
		jwt.WithIssuer(issuer), jwt.WithAudience(audience))
	if err != nil {
		return nil, err
	}
	passed := make(map[string]any, len(claims))
	for name, value := range claims {
		passed[name] = claimText(name, value)
	}
	return passed, nil
}

func claimText(name string, value any) string {
	switch value := value.(type) {
	case float64:
		if name == "exp" || name == "iat" {
			return time.Unix(int64(value), 0).UTC().Format("Mon Jan 02 15:04:05 MST 2006")
		}
		return strconv.FormatFloat(value, 'f', -1, 64)
	case []any:
		parts := make([]string, len(value))
		for i, part := range value {
			parts[i] = fmt.Sprint(part)
		}
		return strings.Join(parts, ",")
	default:
		return fmt.Sprint(value)
	}
}
