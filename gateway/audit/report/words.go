package report

// language is the words of a report in one language.
type language struct {
	Code    string
	Columns []string // of the trail
	words   map[string]string
}

// Term is the word for a code or a label; what has none stays as it is.
func (l language) Term(code string) string {
	if word, ok := l.words[code]; ok {
		return word
	}
	return code
}

// languages have the same terms, which a test sees to.
var languages = map[string]language{
	"en": {
		Code:    "en",
		Columns: []string{"Block", "Time (claimed)", "Who", "What", "Outcome", "Custodian → requester", "Purpose and classes", "Patient (handle)", "Object", "Rule", "Transaction"},
		words: map[string]string{
			"title": "Audit report", "reported-by": "Reported by", "made": "Made", "stands-on": "Stands on", "channel": "channel", "block": "block",
			"entries": "Entries", "unit-entries": "entries", "unit-requests": "requests", "figures": "Figures", "trail": "Audit trail", "left-out": "Entries not listed here, but counted in the figures",
			"signed-note":  "The signature beside this file covers every byte of it. It says which member made it and on which block of the ledger it stands; anyone with the ledger can recompute what it tells.",
			"user-note":    "Members are identified by the certificates that signed. A person who asked for, opened, reviewed, anchored, retracted, erased or attested something stands on the ledger as a salted digest and a role, whom a regulator can order the member to name; who signed a directive, by the key. Everything else was done by a member's own software: its role is software, its name the certificate's.",
			"figure-kinds": "By kind", "figure-outcomes": "By outcome", "figure-days": "By day", "figure-months": "By month", "figure-denials": "Why requests were denied", "figure-requesters": "Requests by member",
			"filter-patient": "Patient", "filter-handle": "Handle", "filter-member": "Member", "filter-custodian": "Custodian", "filter-requester": "Requester", "filter-object": "Object",
			"filter-kinds": "Kinds", "filter-outcomes": "Outcomes", "filter-purpose": "Purpose", "filter-reason": "Reason", "filter-time": "Time",
			"configuration": "configuration", "member": "member", "keys": "keys", "motion": "motion", "closing": "closing", "epoch": "evaluators' keys", "announced": "announced", "evaluations": "evaluations", "accounted": "accounted", "transferred": "transferred", "record": "record", "consent": "consent", "signer": "patient's key", "bound": "bound", "request": "request",
			"release": "release", "receipt": "receipt", "recovery": "recovery from escrow", "order": "order", "answer": "answer", "conclusion": "conclusion", "other": "other",
			"hold": "legal hold", "acknowledgement": "acknowledgement", "erased": "erased", "held": "held", "lifted": "lifted", "acknowledged": "acknowledged",
			"retention-over": "retention period over", "deleted": "deleted", "retained": "retained",
			"review": "review of break-glass", "accepted": "accepted", "rejected": "rejected", "resolved": "resolved", "break-glass": "break-glass", "break-glass-over-denial": "break-glass over a denial",
			"created": "created", "changed": "changed", "granted": "granted", "amended": "amended", "withdrawn": "withdrawn", "anchored": "anchored", "superseded": "superseded", "retracted": "retracted",
			"asked": "asked", "released": "released", "received": "received", "moved": "moved", "carried": "carried", "closed": "closed", "ordered": "ordered", "answered": "answered", "concluded": "concluded", "called": "called",
			"success": "success", "denied": "denied", "failed": "failed", "invalid": "invalid",
			"permitted": "permitted", "nothing-said": "nothing said", "purpose-not-covered": "purpose not covered", "action-not-covered": "action not covered", "class-not-covered": "class not covered",
			"data-period-not-covered": "data period not covered", "actor-not-covered": "actor not covered", "period-not-begun": "period not begun", "period-over": "period over", "assurance-too-low": "assurance too low", "wallet": "signed by wallet", "passkey": "signed by passkey", "recovered": "recovered on the hospital's word",
			"unreadable": "unreadable", "record-type-not-covered": "record type not covered", "entered-in-error": "entered in error", "wrong-patient": "wrong patient", "legal-order": "legal order",
			"disclosed": "disclosed", "refused": "refused", "mismatch": "doesn't open the digest", "legal-obligation": "legal obligation", "public-health": "public health", "archiving": "archiving", "legal-claims": "legal claims",
			"clinician": "clinician", "records-officer": "records officer", "claims-handler": "claims handler", "auditor": "auditor", "operator": "operator", "patient": "patient", "delegate": "delegate",
			"all-classes": "all classes", "demographics": "demographics", "encounter": "encounter", "condition": "condition", "allergy": "allergy", "medication": "medication", "immunization": "immunization", "laboratory": "laboratory",
			"vital-signs": "vital signs", "imaging": "imaging", "procedure": "procedure", "social-history": "social history", "genomics": "genomics", "care-plan": "care plan", "document": "document", "device": "device", "claim": "claim", "administrative": "administrative",
			"opened": "opened", "active": "active", "suspended": "suspended", "patient-request": "patient's request",
		},
	},
	"zh": {
		Code:    "zh",
		Columns: []string{"区块", "时间（申报）", "主体", "事项", "结果", "保管方 → 请求方", "目的与数据类别", "患者（假名）", "对象", "规则", "交易"},
		words: map[string]string{
			"title": "审计报告", "reported-by": "报告方", "made": "生成时间", "stands-on": "账本依据", "channel": "通道", "block": "区块",
			"entries": "条目", "unit-entries": "条", "unit-requests": "次", "figures": "图表", "trail": "审计轨迹", "left-out": "未在此列出但已计入图表的条目",
			"signed-note":  "随附签名覆盖本文件的每一个字节，说明由哪个成员生成、以账本的哪个区块为依据；任何持有账本的人都可以重新计算其内容。",
			"user-note":    "成员以签名证书识别。凡请求、打开、复核、锚定、撤回、删除或证明的个人，在账本上为加盐摘要及其角色，监管方可下令成员说明其人；签署指令者以其密钥识别。其余均由成员自身的系统操作：角色为 software，名称取自其证书。",
			"figure-kinds": "按类型", "figure-outcomes": "按结果", "figure-days": "按日", "figure-months": "按月", "figure-denials": "请求被拒绝的原因", "figure-requesters": "各成员的请求",
			"filter-patient": "患者", "filter-handle": "假名", "filter-member": "成员", "filter-custodian": "保管方", "filter-requester": "请求方", "filter-object": "对象",
			"filter-kinds": "类型", "filter-outcomes": "结果", "filter-purpose": "目的", "filter-reason": "原因", "filter-time": "时间",
			"configuration": "通道配置", "member": "成员", "keys": "公钥", "motion": "动议", "closing": "分钟关闭", "epoch": "评估密钥周期", "announced": "已公布", "evaluations": "评估次数", "accounted": "已登记", "transferred": "已迁移", "record": "病历", "consent": "同意书", "signer": "患者密钥", "bound": "绑定", "request": "请求",
			"release": "释放", "receipt": "回执", "recovery": "托管恢复", "order": "披露令", "answer": "答复", "conclusion": "结论", "other": "其他",
			"hold": "法律保全", "acknowledgement": "删除确认", "erased": "已删除", "held": "保全", "lifted": "解除保全", "acknowledged": "已确认",
			"retention-over": "保存期届满", "deleted": "删除", "retained": "依法保留",
			"review": "紧急访问复核", "accepted": "认可", "rejected": "驳回", "resolved": "已处置", "break-glass": "紧急访问", "break-glass-over-denial": "越过拒绝的紧急访问",
			"created": "创建", "changed": "变更", "granted": "授予", "amended": "修订", "withdrawn": "撤回", "anchored": "锚定", "superseded": "被取代", "retracted": "撤销",
			"asked": "提出", "released": "已释放", "received": "已接收", "moved": "提议", "carried": "通过", "closed": "已关闭", "ordered": "下令", "answered": "已答复", "concluded": "已结论", "called": "调用",
			"success": "成功", "denied": "拒绝", "failed": "失败", "invalid": "无效",
			"permitted": "允许", "nothing-said": "无相关同意", "purpose-not-covered": "目的未涵盖", "action-not-covered": "操作未涵盖", "class-not-covered": "类别未涵盖",
			"data-period-not-covered": "数据时段未涵盖", "actor-not-covered": "主体未涵盖", "period-not-begun": "尚未生效", "period-over": "已过期", "assurance-too-low": "保证级别不足", "wallet": "由钱包签署", "passkey": "由通行密钥签署", "recovered": "凭医院证明恢复",
			"unreadable": "无法读取", "record-type-not-covered": "文书类型未涵盖", "entered-in-error": "录入错误", "wrong-patient": "患者有误", "legal-order": "法律命令",
			"disclosed": "已披露", "refused": "已拒绝披露", "mismatch": "与摘要不符", "legal-obligation": "法定义务", "public-health": "公共卫生", "archiving": "存档", "legal-claims": "法律主张",
			"clinician": "临床医生", "records-officer": "病案管理员", "claims-handler": "理赔员", "auditor": "审计员", "operator": "运维人员", "patient": "患者", "delegate": "代理人",
			"all-classes": "全部类别", "demographics": "人口学信息", "encounter": "就诊", "condition": "诊断", "allergy": "过敏", "medication": "用药", "immunization": "免疫接种", "laboratory": "检验",
			"vital-signs": "生命体征", "imaging": "影像", "procedure": "操作", "social-history": "社会史", "genomics": "基因组", "care-plan": "护理计划", "document": "文书", "device": "器械", "claim": "理赔", "administrative": "行政信息",
			"opened": "已打开", "active": "有效", "suspended": "已暂停", "patient-request": "患者要求",
		},
	},
}
