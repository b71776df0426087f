// The texts of the page in the chosen language. English is the key; the daemon's own short texts are English, too.

const CHINESE = {
  "Language": "语言", "Overview": "概况", "Listener": "监听套接字", "State": "状态", "Accept queue": "全连接队列",
  "Questions": "待答消息", "Answer questions": "开始应答", "Settled": "已了结", "Rates": "速率",
  "replace escapes such as \\n": "替换 \\n 等转义", "Refusals": "拒绝", "Reason": "原因", "Total": "总数",
  "Connections": "连接", "Socket options": "套接字选项", "Target": "目标", "TCP listeners": "TCP 监听套接字",
  "UDP sockets": "UDP 套接字", "all options": "全部选项", "NAME=VALUE": "名称=值", "Set": "设置", "Socket": "套接字",
  "Option": "选项", "Requested": "请求值", "Effective": "生效值", "Remark": "备注", "Messages": "消息",
  "connected": "已连接", "not connected: {reason}": "未连接：{reason}", "Uptime": "运行时间", "Process": "进程",
  "Open connections": "打开的连接", "{count} of {limit}": "{count}，上限 {limit}", "Clock": "时钟",
  "Operators": "操作员", "Stopping in": "距停止", "Pending questions": "待答", "{count} s": "{count} 秒",
  "answered": "有应答", "not answered": "无应答", "hung": "卡死", "not checked yet": "尚未检查",
  "{count} of {limit} pending": "{count} 个等待，上限 {limit}",
  "Clients wait for your replies. Enter sends a reply.": "客户端正等待您的回复。按回车键发送。",
  "While no operator answers, clients get the default reply.": "没有操作员应答时，客户端得到默认回复。",
  "Open the link of `echotime control token` to answer.": "要应答，请打开 `echotime control token` 给出的链接。",
  "This daemon has no operator.": "此守护进程没有操作员。", "Reply": "回复", "Send": "发送",
  "reply to {number} of {peer}": "回复 {peer} 的第 {number} 条", "question {number} of {peer}: {text}": "{peer} 的第 {number} 条：{text}",
  "connections/s": "连接/秒", "messages/s": "消息/秒", "bytes/s in, out": "字节/秒 收、发", "datagrams/s": "数据报/秒",
  "RTT in ms, median of those shown": "所示连接 RTT 中位数（毫秒）", "none": "无",
  "{shown} of {total}": "显示 {shown} 个，共 {total} 个", "Number": "编号", "Peer": "对端", "Via": "经由", "Age": "时长",
  "In": "收", "Out": "发", "Count": "消息数", "Waiting": "待答", "RTT": "RTT", "Retransmits": "重传", "Unsent": "未确认",
  "yes": "是", "Close": "关闭", "Reset": "重置", "options": "选项", "connection {number}": "连接 {number}",
  "set: {value}": "已设置：{value}", "To be set {deadline}.": "设置时机：{deadline}。", "read-only": "只读",
  "connection from {peer}{via}": "来自 {peer} 的连接{via}", " via {via}": "（经由 {via}）",
  "connection from {peer} ended by {how}, {bytes_in} bytes in, {bytes_out} bytes out":
    "来自 {peer} 的连接结束（{how}），收 {bytes_in} 字节，发 {bytes_out} 字节",
  "datagram from {peer}, length {size}, {outcome}": "来自 {peer} 的数据报，长度 {size}，{outcome}",
  "events left out: {count}": "略去的事件：{count}", "client": "客户端", "server": "服务器", "operator": "操作员",
  "client's reset": "客户端重置", "server's reset": "服务器重置", "operator's reset": "操作员重置",
  "idle timeout": "空闲超时", "half-closed timeout": "半关闭超时", "session timeout": "会话超时", "eviction": "逐出",
  "deadline expired": "已过时限", "connection ended": "连接已结束", "the last operator left": "最后一位操作员已离开",
  "the daemon stopped": "守护进程已停止", "answered by {name}": "由 {name} 应答", "not synchronized": "未同步",
};
const ANSWERED_BY = "answered by ";

const saved = localStorage.getItem("language");
export const language = saved ?? (navigator.language.startsWith("zh") ? "zh_CN" : "en");
document.documentElement.lang = language.replace("_", "-");

/** Return a text in the chosen language, with its fields filled in. */
export function text(message, fields = {}) {
  const translated = (language === "zh_CN" && CHINESE[message]) || message;
  return translated.replace(/\{(\w+)\}/g, (all, name) => fields[name] ?? all);
}

/** Return one of the daemon's own texts in the chosen language, unchanged if it is unknown. */
export const daemonText = (message) => message.startsWith(ANSWERED_BY)
  ? text("answered by {name}", { name: message.slice(ANSWERED_BY.length) }) : text(message);

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
