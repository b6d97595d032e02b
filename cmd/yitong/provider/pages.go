package provider

import (
	"context"
	"html/template"
	"net/http"
)

const (
	signInPath = "/sign-in"
	devicePath = "/device"
)

// pages are what people see.
type pages struct {
	member  string
	storage *storage
	done    func(context.Context, string) string // where who signed in goes on
}

var page = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in at {{.Member}}</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 24rem; margin: 10vh auto; padding: 0 1rem; color: #1a1a1a; background: #fff; }
label, input, button { display: block; width: 100%; box-sizing: border-box; font: inherit; }
input { margin: .25rem 0 1rem; padding: .5rem; border: 1px solid #767676; }
button { padding: .6rem; border: 0; background: #0b57d0; color: #fff; }
.problem { color: #b3261e; }
.note { color: #5f5f5f; font-size: .875rem; }
</style>
<h1>Sign in at {{.Member}}</h1>
{{with .Problem}}<p class="problem" role="alert">{{.}}</p>{{end}}
{{if .Done}}<p role="status">You are signed in on the device. This page can be closed.</p>{{else}}
{{if .Device}}<form method="post" action="/device">
<p>Only go on if you began this yourself, and the code is the one that your terminal shows.</p>
<label for="code">Code</label>
<input id="code" name="code" value="{{.ID}}" autocomplete="off" autocapitalize="characters" required>
{{else}}<form method="post" action="/sign-in">
<input type="hidden" name="id" value="{{.ID}}">
{{end}}<label for="name">Name</label>
<input id="name" name="name" autocomplete="username" autocapitalize="none" required autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<button>Sign in</button>
</form>
{{end}}<p class="note">For trying, not for service. Names and passwords are in members/{{.Member}}/provider/people.yaml of the consortium's directory.</p>
</html>
`))

// shown is what a page says.
type shown struct {
	Member, ID, Problem string
	Device, Done        bool
}

func (p *pages) render(out http.ResponseWriter, say shown, problem error) {
	h := out.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
	say.Member = p.member
	if problem != nil {
		say.Problem = problem.Error()
		out.WriteHeader(http.StatusForbidden)
	}
	_ = page.Execute(out, say) // who has gone away needs no page
}

func (p *pages) showDevice(out http.ResponseWriter, in *http.Request) {
	p.render(out, shown{ID: in.URL.Query().Get("user_code"), Device: true}, nil)
}

func (p *pages) checkDevice(out http.ResponseWriter, in *http.Request) {
	code := in.PostFormValue("code")
	err := p.storage.signInDevice(code, in.PostFormValue("name"), in.PostFormValue("password"))
	p.render(out, shown{ID: code, Device: true, Done: err == nil}, err)
}

func (p *pages) show(out http.ResponseWriter, in *http.Request) {
	p.render(out, shown{ID: in.URL.Query().Get("id")}, nil)
}

func (p *pages) check(out http.ResponseWriter, in *http.Request) {
	id := in.PostFormValue("id")
	if err := p.storage.signIn(id, in.PostFormValue("name"), in.PostFormValue("password")); err != nil {
		p.render(out, shown{ID: id}, err)
		return
	}
	http.Redirect(out, in, p.done(in.Context(), id), http.StatusSeeOther)
}
