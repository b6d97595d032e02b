package contract

// The names of the functions as a client calls them. Each takes one argument, a strict
// JSON document, and answers with one; the types of both are beside each name.
//
// Those of the first group write and are submitted; those of the second only read and are
// evaluated. All of them want the caller to be an active member, but Found.
const (
	RegistryFound  = "registry:Found"  // Founding          -> MemberList
	RegistryMove   = "registry:Move"   // Moving            -> Moved
	RegistryUpdate = "registry:Update" // Updating          -> MemberEntry
	RegistryClose  = "registry:Close"  // Closing           -> registry.Clock

	RecordAnchor  = "record:Anchor"  // Anchoring  -> AnchorList
	RecordRetract = "record:Retract" // Retraction -> record.Anchor

	RecordErase       = "record:Erase"       // Erasing       -> record.Anchor
	RecordHold        = "record:Hold"        // Holding       -> HoldList
	RecordUnhold      = "record:Unhold"      // Unholding     -> HoldList
	RecordAcknowledge = "record:Acknowledge" // Acknowledging -> record.Acknowledgement

	ConsentGrant    = "consent:Grant"    // Grant      -> consent.Consent
	ConsentAmend    = "consent:Amend"    // Amendment  -> consent.Consent
	ConsentWithdraw = "consent:Withdraw" // Withdrawal -> consent.Consent
	ConsentDirect   = "consent:Direct"   // directive.Signed -> Directed
	ConsentRecover  = "consent:Recover"  // Recovery -> directive.Signer

	AccessRequest = "access:Request" // access.Request -> access.Access
	AccessRelease = "access:Release" // Releasing      -> Released
	AccessReceive = "access:Receive" // Receiving      -> Received

	AccessReview  = "access:Review"  // access.Judgement  -> access.Review
	AccessResolve = "access:Resolve" // access.Settlement -> access.Review
	AccessRecover = "access:Recover" // Recovering        -> access.Recovery

	DisclosureOrder    = "disclosure:Order"    // Ordering         -> disclosure.Order
	DisclosureAnswer   = "disclosure:Answer"   // Answering        -> disclosure.Answer
	DisclosureConclude = "disclosure:Conclude" // Concluding       -> disclosure.Conclusion

	HandleAnnounce = "handle:Announce" // epoch.Draft -> Announced
	HandleCarry    = "handle:Carry"    // CarryOrder  -> epoch.Carried
	HandleAccount  = "handle:Account"  // Accounting  -> Accounted

	RegistryMember  = "registry:Member"  // MemberQuery -> MemberEntry
	RegistryMembers = "registry:Members" // Nothing     -> MemberList
	RegistryClock   = "registry:Clock"   // Nothing     -> registry.Clock

	RecordRecord  = "record:Record"  // RecordQuery  -> record.Anchor
	RecordAnchors = "record:Anchors" // AnchorQuery  -> AnchorList
	RecordRecords = "record:Records" // RecordsQuery -> AnchorPage

	RecordHolds            = "record:Holds"            // HoldsQuery            -> HoldPage
	RecordAcknowledgements = "record:Acknowledgements" // AcknowledgementsQuery -> AcknowledgementPage

	ConsentConsents = "consent:Consents" // Relationship   -> ConsentSet
	ConsentHistory  = "consent:History"  // HistoryQuery   -> ConsentPage
	ConsentList     = "consent:List"     // ListQuery      -> RelationshipPage
	ConsentSigner   = "consent:Signer"   // Relationship   -> SignerEntry

	AccessAccess   = "access:Access"   // AccessQuery -> AccessList
	AccessAccesses = "access:Accesses" // ListQuery   -> AccessPage

	AccessEmergencies = "access:Emergencies" // EmergenciesQuery -> EmergencyList
	AccessReviews     = "access:Reviews"     // ListQuery        -> ReviewPage
	AccessRecovery    = "access:Recovery"    // RecoveryQuery    -> RecoveryEntry

	DisclosureDisclosure  = "disclosure:Disclosure"  // DisclosureQuery  -> disclosure.Disclosure
	DisclosureDisclosures = "disclosure:Disclosures" // DisclosuresQuery -> DisclosurePage

	HandleEpochs      = "handle:Epochs"      // Nothing          -> Epochs
	HandleStanding    = "handle:Standing"    // StandingQuery    -> StandingList
	HandleEvaluations = "handle:Evaluations" // EvaluationsQuery -> EvaluationPage
)
