"""How a page of a conversation looks: calm, dark where the reader wants it, narrow screens too."""

STYLE = """:root{color-scheme:light dark;--ink:#1d2129;--soft:#5b6472;--line:#dfe3e8;
--paper:#fff;--ground:#f4f5f7;--accent:#3f51b5;--mark:#eef0fb;--alert:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8ec;--soft:#9aa3b0;--line:#343a44;
--paper:#20242b;--ground:#16191e;--accent:#a7b3ff;--mark:#2a2f45;--alert:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);overflow-wrap:anywhere;
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
header,main{max-width:52rem;margin:0 auto;padding:1rem}
header{padding-top:2rem}header p{margin:.2rem 0;color:var(--soft)}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .3rem}
main{padding-top:0}
main>h2{font-size:.8rem;font-weight:600;color:var(--soft);text-align:center;margin:1.6rem 0 .6rem}
section{background:var(--paper);border:1px solid var(--line);border-radius:10px;
padding:.8rem 1rem;margin:.6rem 0}
article+article{border-top:1px solid var(--line);margin-top:.7rem;padding-top:.7rem}
article.reply{margin:.7rem 0 0 1.25rem;padding:0 0 0 .9rem;border:0;
border-left:2px solid var(--line)}
section:has(>.event:only-child){background:none;border:0;padding:0}
article>h3{font-size:.9rem;line-height:1.4;margin:0 0 .25rem}
time,small{font-weight:400;font-size:.8rem;color:var(--soft)}
.subject{font-weight:600;margin:.2rem 0}
.words>:first-child{margin-top:0}.words>:last-child{margin-bottom:0}
.plain,codeblock{white-space:pre-wrap}
.words h1,.words h2,.words h3,.words h4,.words h5,.words h6{font-size:1rem;margin:.6em 0 .3em}
img{max-width:100%;height:auto;border-radius:6px;vertical-align:bottom}
img:not([src]),img[src="data:,"]{display:inline-block;min-width:3rem;min-height:1.5rem;
border:1px dashed var(--line)}
table{border-collapse:collapse;display:block;overflow-x:auto;max-width:100%}
td,th{border:1px solid var(--line);padding:.25rem .5rem;text-align:left}
blockquote{margin:.4rem 0;padding:.1rem .8rem;border-left:3px solid var(--line);color:var(--soft)}
pre,codeblock{display:block;overflow-x:auto;background:var(--ground);border-radius:6px;
padding:.6rem .8rem;font:13px/1.45 ui-monospace,Consolas,Menlo,monospace}
a{color:var(--accent)}
at{background:var(--mark);color:var(--accent);border-radius:4px;padding:0 .2em}
emoji:empty::before,customemoji:empty::before{content:attr(alt)}
article>ul{list-style:none;margin:.5rem 0 0;padding:0}
article>ul>li{border:1px solid var(--line);border-radius:6px;padding:.3rem .6rem;margin:.25rem 0;
width:fit-content;max-width:100%}
.reactions{margin:.4rem 0 0;font-size:.85rem;color:var(--soft);white-space:pre-wrap}
.event{margin:.3rem 0;text-align:center;font-size:.85rem;color:var(--soft)}
.gone,.note{margin:.2rem 0;font-style:italic;color:var(--soft);font-size:.9rem}
.important{color:var(--alert);font-style:normal;font-size:.8rem}
@media(max-width:30rem){header,main{padding:.6rem}section{padding:.6rem .7rem}
article.reply{margin-left:.25rem;padding-left:.6rem}}
@media print{body{background:none}section{break-inside:avoid}}
"""
