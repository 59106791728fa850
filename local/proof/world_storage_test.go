package proof

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// An Object is one object of a bucket.
type Object struct {
	Body   []byte
	Header http.Header // of the request that put it
}

// Put stores an object.
func (w *World) Put(bucket, key string, body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.objects[bucket+"/"+key] = Object{Body: body}
}

// Objects returns the names of all objects as bucket/key, sorted.
func (w *World) Objects() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.objects))
}

// Object returns the object bucket/key.
func (w *World) Object(name string) (Object, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o, ok := w.objects[name]
	return o, ok
}

func (w *World) readS3(req *http.Request, body []byte) (*Call, error) {
	name := strings.TrimPrefix(req.URL.Path, "/")
	if bucket, _, ok := strings.Cut(req.URL.Host, ".s3."); ok {
		name = bucket + "/" + name
	}
	switch req.Method {
	case http.MethodPut:
		return &Call{Service: "s3", Operation: "PutObject", Target: name, Body: body, do: func() Answer {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.objects[name] = Object{body, req.Header.Clone()}
			return Answer{Status: 200, Header: http.Header{"Etag": {etag(body)}}}
		}}, nil
	case http.MethodGet:
		return &Call{Service: "s3", Operation: "GetObject", Target: name, do: func() Answer {
			o, ok := w.Object(name)
			switch {
			case !ok:
				return s3Error(404, "NoSuchKey")
			case req.Header.Get("If-None-Match") == etag(o.Body):
				return Answer{Status: 304}
			default:
				return Answer{Status: 200, Header: http.Header{"Etag": {etag(o.Body)}}, Body: o.Body}
			}
		}}, nil
	default:
		return nil, errors.New("S3 does not support " + req.Method + " here")
	}
}

func etag(body []byte) string {
	sum := md5.Sum(body)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func s3Error(status int, code string) Answer {
	return xmlAnswer(status, struct {
		XMLName       xml.Name `xml:"Error"`
		Code, Message string
	}{Code: code, Message: code})
}

// A Mail is one that SES took.
type Mail struct {
	ID      string
	From    string
	To      []string
	ReplyTo []string
	Subject string
	Text    string
	HTML    string
	Tags    map[string]string
}

// Mails returns the mails that SES took, in their order.
func (w *World) Mails() []Mail {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.mails)
}

func (w *World) readSES(req *http.Request, body []byte) (*Call, error) {
	if req.URL.Path != "/v2/email/outbound-emails" || req.Method != http.MethodPost {
		return nil, fmt.Errorf("SES does not support %s %s here", req.Method, req.URL.Path)
	}
	type content struct{ Data string }
	var in struct {
		FromEmailAddress string
		ReplyToAddresses []string
		Destination      struct{ ToAddresses []string }
		EmailTags        []struct{ Name, Value string }
		Content          struct {
			Simple struct {
				Subject content
				Body    struct{ Text, Html content } //nolint:revive // As AWS writes it.
			}
		}
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	simple := in.Content.Simple
	m := Mail{
		From:    in.FromEmailAddress,
		To:      in.Destination.ToAddresses,
		ReplyTo: in.ReplyToAddresses,
		Subject: simple.Subject.Data,
		Text:    simple.Body.Text.Data,
		HTML:    simple.Body.Html.Data,
		Tags:    map[string]string{},
	}
	for _, tag := range in.EmailTags {
		m.Tags[tag.Name] = tag.Value
	}
	target := strings.Join(m.To, ",") + " " + m.Tags["orderId"] + " " + m.Subject
	return &Call{Service: "ses", Operation: "SendEmail", Target: target, Mail: &m, do: func() Answer {
		if slices.ContainsFunc(m.To, func(to string) bool { return strings.HasPrefix(to, "refused") }) {
			return restError(400, "MessageRejected", "Address blacklisted.")
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.MailRate > 0 && !w.mailing.spend(w.now(), 1, float64(w.MailRate)) {
			return restError(429, "TooManyRequestsException", "Maximum sending rate exceeded.")
		}
		m.ID = w.id()
		w.mails = append(w.mails, m)
		a := jsonAnswer(200, map[string]string{"MessageId": m.ID})
		a.Header.Set("Content-Type", "application/json")
		return a
	}}, nil
}
