// The texts of the page in the chosen language. English is the key. The daemon translates its own texts.

const CHINESE = {
  "Language": "语言", "Overview": "概况", "Listener": "侦听端口", "State": "状态", "Accept queue": "accept 队列",
  "Questions": "待应答的消息", "Answer questions": "开始应答", "Settled": "已处理", "Rates": "速率",
  "replace escapes such as \\n": "替换 \\n 等转义序列", "Refusals": "拒绝", "Reason": "原因", "Total": "总数",
  "Connections": "连接", "Socket options": "套接字选项", "Target": "目标", "TCP listeners": "TCP 侦听端口",
  "UDP sockets": "UDP 套接字", "all options": "全部选项", "NAME=VALUE": "名称=值", "Set": "设置", "Socket": "套接字",
  "Option": "选项", "Requested": "请求值", "Effective": "实际值", "Note": "备注", "Messages": "消息",
  "connected": "已连接", "not connected: {reason}": "未连接：{reason}", "Uptime": "运行时间", "Process": "进程",
  "Open connections": "打开的连接", "{count} of {limit}": "{count}，上限 {limit}", "Clock": "时钟",
  "Operators": "操作员", "Stopping in": "距停止还有", "Pending questions": "待应答的消息", "{count} s": "{count} 秒",
  "{name}: {value}": "{name}：{value}", "answer not sent": "应答未发出",
  "expected Authorization: Bearer TOKEN; echotime control token prints it":
    "令牌缺失或已失效；请重新打开 `echotime control token` 给出的链接",
  "closed": "事件流已结束", "Failed to fetch": "无法访问守护进程", "network error": "网络错误",
  "NetworkError when attempting to fetch resource.": "无法访问守护进程",
  "answered": "有应答", "not answered": "没有应答", "not probed": "未探测", "hung": "已挂起", "not checked yet": "尚未检查",
  "Clients wait for your replies. Enter sends a reply.": "客户端正在等待您的应答。按回车键发送。",
  "While no operator answers, clients get the default reply.": "没有操作员应答时，客户端得到默认应答。",
  "Open the link of `echotime control token` to answer.": "要应答，请打开 `echotime control token` 给出的链接。",
  "Send": "发送",
  "reply to {number} of {peer}": "应答 {peer} 的消息 {number}", "question {number} of {peer}: {text}": "{peer} 的消息 {number}：{text}",
  "connections/s": "连接/秒", "messages/s": "消息/秒", "bytes/s in, out": "字节/秒（收、发）", "datagrams/s": "数据报/秒",
  "RTT in ms, median of those shown": "所示连接往返时间的中位数（毫秒）", "none": "无",
  "{shown} of {total}": "显示 {shown} 个，共 {total} 个", "only the first {count} are shown": "仅显示前 {count} 个", "Number": "编号", "Peer": "对端", "Via": "经由", "Age (s)": "时长（秒）",
  "Bytes in": "接收字节", "Bytes out": "发送字节", "Waiting": "待应答", "RTT (ms)": "往返（毫秒）", "Retransmits": "重传", "Unsent": "未发送",
  "yes": "是", "Close": "关闭", "Reset": "复位", "Options": "选项", "connection {number}": "连接 {number}",
  "set: {value}": "已设置：{value}", "To be set {deadline}.": "设置时机：{deadline}。", "read-only": "只读",
  "connection from {peer}{via}": "来自 {peer} 的连接{via}", " via {via}": "（经由 {via}）",
  "connection from {peer} ended by {how}, {bytes_in} bytes in, {bytes_out} bytes out":
    "来自 {peer} 的连接结束（{how}），收 {bytes_in} 字节，发 {bytes_out} 字节",
  "datagram from {peer}, length {size}, {outcome}": "来自 {peer} 的数据报，长度 {size}，{outcome}",
  "events dropped: {count}": "丢弃的事件：{count}",
  "connections refused (access list)": "连接被拒绝（访问列表）", "connections refused (source limit)": "连接被拒绝（单个来源的连接数限制）",
  "connections refused (connection limit)": "连接被拒绝（连接数限制）",
  "connections refused (no PROXY header)": "连接被拒绝（缺少 PROXY 头）",
  "connections refused (malformed PROXY header)": "连接被拒绝（PROXY 头格式错误）",
  "connections evicted (connection limit)": "连接被挤出（连接数限制）",
  "datagrams refused (unspecified source)": "数据报被拒绝（源地址为未指定地址）",
  "datagrams refused (own address)": "数据报被拒绝（自身地址）", "datagrams refused (low port)": "数据报被拒绝（1024 以下的源端口）",
  "datagrams refused (broadcast or multicast)": "数据报被拒绝（广播或组播）",
  "datagrams refused (access list)": "数据报被拒绝（访问列表）", "datagrams refused (rate limit)": "数据报被拒绝（速率限制）",
  "datagrams refused (clock not synchronized)": "数据报被拒绝（时钟未同步）", "datagrams refused (loop)": "数据报被拒绝（环路）",
};

const saved = localStorage.getItem("language");
export const language = saved ?? (navigator.language.startsWith("zh") ? "zh_CN" : "en");
document.documentElement.lang = language.replace("_", "-");

/** Return a text in the chosen language, with its fields filled in. */
export function text(message, fields = {}) {
  const translated = (language === "zh_CN" && CHINESE[message]) || message;
  return translated.replace(/\{(\w+)\}/g, (all, name) => fields[name] ?? all);
}

/** Return a name and its value with the colon of the chosen language. */
export function labeled(name, value) {
  return text("{name}: {value}", { name, value });
}

let patterns = [], known = CHINESE;

/** Use the daemon's texts with their translations. A field such as {reason} stands for any text. */
export function useTexts(texts) {
  known = { ...CHINESE, ...texts };
  patterns = Object.entries(texts).map(([template, translated]) => {
    const parts = template.split(/\{\w+\}/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    const names = [...template.matchAll(/\{(\w+)\}/g)].map((found) => found[1]);
    return { pattern: new RegExp(`^${parts.join("(.+?)")}$`), names, translated };
  });
}

/** Return one of the daemon's own texts in the chosen language, unchanged if it is unknown. */
export function daemonText(message) {
  if (language === "en") return message;
  if (Object.hasOwn(known, message)) return known[message];
  for (const { pattern, names, translated } of patterns) {
    const found = pattern.exec(message);
    if (found) {
      return names.reduce((whole, name, index) => whole.replace(`{${name}}`, () => daemonText(found[index + 1])), translated);
    }
  }
  return message;
}

/** Fill in the texts of the document, and let the user choose the language, which loads the page again. */
export function translateDocument() {
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = text(node.dataset.text);
  const chooser = document.getElementById("language");
  chooser.value = language;
  chooser.addEventListener("change", () => {
    localStorage.setItem("language", chooser.value);
    location.reload();
  });
}
