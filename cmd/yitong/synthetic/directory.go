package synthetic

type organizationResource struct {
	head
	Identifier []identifier `json:"identifier"`
	Active     bool         `json:"active"`
	Type       []concept    `json:"type"`
	Name       string       `json:"name"`
}

type practitionerResource struct {
	head
	Identifier []identifier `json:"identifier"`
	Active     bool         `json:"active"`
	Name       []humanName  `json:"name"`
}

type locationResource struct {
	head
	Status   string    `json:"status"`
	Name     string    `json:"name"`
	Managing reference `json:"managingOrganization"`
}

// directory writes those who care and those who pay.
func (c *chart) directory() {
	organization := func(host, name, code, kind string) reference {
		id := c.id()
		return c.add("Organization", id, name, organizationResource{
			head:       begin("Organization", id, ""),
			Identifier: one(identifier{System: "https://" + host + ".example/organization", Value: host}),
			Active:     true, Type: one(coded(terms+"organization-type", code, kind)), Name: name,
		})
	}
	practitioner := func(family, given, number string) reference {
		id := c.id()
		return c.add("Practitioner", id, given+" "+family, practitionerResource{
			head:       begin("Practitioner", id, ""),
			Identifier: one(identifier{System: "https://hospital-a.example/staff", Value: number}),
			Active:     true, Name: one(humanName{Use: "official", Family: family, Given: one(given)}),
		})
	}
	c.hospital = organization("hospital-a", hospitalName, "prov", "Healthcare provider")
	c.insurer = organization("insurer", insurerName, "pay", "Payer")
	c.physician = practitioner("Zhou", "Lin", "D-1042")
	c.therapist = practitioner("Okafor", "Amara", "D-2310")
	id := c.id()
	c.ward = c.add("Location", id, "Outpatient clinic", locationResource{
		head: begin("Location", id, ""), Status: "active", Name: "Outpatient clinic", Managing: c.hospital,
	})
}
