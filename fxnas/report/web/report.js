/*!
Made by fxnas/report/web/src/build.js from the modules beside it; not to be edited.
sources 439c2687ed9ac8f80267c2f5d50730f0219c2cf754411f35b3c29134234ca5e8

With parts of

d3-array 3.2.5, d3-color 3.1.1, d3-format 3.1.3, d3-interpolate 3.0.2, d3-quadtree 3.0.2, d3-scale 4.0.3, d3-shape 3.2.1:

Copyright 2010-2026 Mike Bostock

Permission to use, copy, modify, and/or distribute this software for any purpose
with or without fee is hereby granted, provided that the above copyright notice
and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH
REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND
FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT,
INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS
OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER
TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF
THIS SOFTWARE.

d3-path 3.1.1:

Copyright 2015-2026 Mike Bostock

Permission to use, copy, modify, and/or distribute this software for any purpose
with or without fee is hereby granted, provided that the above copyright notice
and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH
REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND
FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT,
INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS
OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER
TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF
THIS SOFTWARE.
*/
var fxnasReport=(()=>{var st=Object.defineProperty;var Ai=Object.getOwnPropertyDescriptor;var Si=Object.getOwnPropertyNames;var Ei=Object.prototype.hasOwnProperty;var Ri=(n,t)=>{for(var e in t)st(n,e,{get:t[e],enumerable:!0})},qi=(n,t,e,i)=>{if(t&&typeof t=="object"||typeof t=="func\
tion")for(let r of Si(t))!Ei.call(n,r)&&r!==e&&st(n,r,{get:()=>t[r],enumerable:!(i=Ai(t,r))||i.enumerable});return n};var Ci=n=>qi(st({},"__esModule",{value:!0}),n);var qo={};Ri(qo,{bestTenth:()=>mt,candidateName:()=>zn,candidateScores:()=>gt,decisionJson:()=>pt,decisionText:()=>U,domain:()=>Hn,
drawable:()=>kn,improvements:()=>Nn,known:()=>Y,paretoFront:()=>ht,partValues:()=>dt,readable:()=>B,scaleLinear:()=>K,start:()=>Ro,
tickFormat:()=>Xn});function F(n,t){return n==null||t==null?NaN:n<t?-1:n>t?1:n>=t?0:NaN}function ln(n,t){return n==null||t==null?NaN:t<n?-1:
t>n?1:t>=n?0:NaN}function Ut(n){let t,e,i;n.length!==2?(t=F,e=(a,u)=>F(n(a),u),i=(a,u)=>n(a)-u):(t=n===F||n===ln?n:Pi,e=
n,i=n);function r(a,u,l=0,h=a.length){if(l<h){if(t(u,u)!==0)return h;do{let c=l+h>>>1;e(a[c],u)<0?l=c+1:h=c}while(l<h)}return l}
function o(a,u,l=0,h=a.length){if(l<h){if(t(u,u)!==0)return h;do{let c=l+h>>>1;e(a[c],u)<=0?l=c+1:h=c}while(l<h)}return l}
function s(a,u,l=0,h=a.length){let c=r(a,u,l,h-1);return c>l&&i(a[c-1],u)>-i(a[c],u)?c-1:c}return{left:r,center:s,right:o}}
function Pi(){return 0}function Wt(n){return n===null?NaN:+n}var Jt=Ut(F),Zt=Jt.right,Po=Jt.left,Oo=Ut(Wt).center;var Io=Kt(ne),Lo=Kt(Oi);function Kt(n){return function(t,e,i=e){if(!((e=+e)>=0))throw new RangeError("invalid rx");if(!((i=
+i)>=0))throw new RangeError("invalid ry");let{data:r,width:o,height:s}=t;if(!((o=Math.floor(o))>=0))throw new RangeError(
"invalid width");if(!((s=Math.floor(s!==void 0?s:r.length/o))>=0))throw new RangeError("invalid height");if(!o||!s||!e&&
!i)return t;let a=e&&n(e),u=i&&n(i),l=r.slice();return a&&u?(an(a,l,r,o,s),an(a,r,l,o,s),an(a,l,r,o,s),un(u,r,l,o,s),un(
u,l,r,o,s),un(u,r,l,o,s)):a?(an(a,r,l,o,s),an(a,l,r,o,s),an(a,r,l,o,s)):u&&(un(u,r,l,o,s),un(u,l,r,o,s),un(u,r,l,o,s)),t}}
function an(n,t,e,i,r){for(let o=0,s=i*r;o<s;)n(t,e,o,o+=i,1)}function un(n,t,e,i,r){for(let o=0,s=i*r;o<i;++o)n(t,e,o,o+
s,i)}function Oi(n){let t=ne(n);return(e,i,r,o,s)=>{r<<=2,o<<=2,s<<=2,t(e,i,r+0,o+0,s),t(e,i,r+1,o+1,s),t(e,i,r+2,o+2,s),
t(e,i,r+3,o+3,s)}}function ne(n){let t=Math.floor(n);if(t===n)return Ii(n);let e=n-t,i=2*n+1;return(r,o,s,a,u)=>{if(!((a-=
u)>=s))return;let l=t*o[s],h=u*t,c=h+u;for(let f=s,d=s+h;f<d;f+=u)l+=o[Math.min(a,f)];for(let f=s,d=a;f<=d;f+=u)l+=o[Math.
min(a,f+h)],r[f]=(l+e*(o[Math.max(s,f-c)]+o[Math.min(a,f+c)]))/i,l-=o[Math.max(s,f-h)]}}function Ii(n){let t=2*n+1;return(e,i,r,o,s)=>{
if(!((o-=s)>=r))return;let a=n*i[r],u=s*n;for(let l=r,h=r+u;l<h;l+=s)a+=i[Math.min(o,l)];for(let l=r,h=o;l<=h;l+=s)a+=i[Math.
min(o,l+u)],e[l]=a/t,a-=i[Math.max(r,l-u)]}}function Ln(n,t){let e,i;if(t===void 0)for(let r of n)r!=null&&(e===void 0?r>=r&&(e=i=r):(e>r&&(e=r),i<r&&(i=r)));else{let r=-1;
for(let o of n)(o=t(o,++r,n))!=null&&(e===void 0?o>=o&&(e=i=o):(e>o&&(e=o),i<o&&(i=o)))}return[e,i]}var On=class extends Map{constructor(t,e=Di){if(super(),Object.defineProperties(this,{_intern:{value:new Map},_key:{value:e}}),
t!=null)for(let[i,r]of t)this.set(i,r)}get(t){return super.get(Qt(this,t))}has(t){return super.has(Qt(this,t))}set(t,e){
return super.set(Li(this,t),e)}delete(t){return super.delete(Bi(this,t))}};function Qt({_intern:n,_key:t},e){let i=t(e);return n.has(i)?n.get(i):e}function Li({_intern:n,_key:t},e){let i=t(e);return n.
has(i)?n.get(i):(n.set(i,e),e)}function Bi({_intern:n,_key:t},e){let i=t(e);return n.has(i)&&(e=n.get(i),n.delete(i)),e}
function Di(n){return n!==null&&typeof n=="object"?n.valueOf():n}function Fi(n){return n}function te(n,t,...e){return ie(n,Fi,t,e)}function ee(n,t,...e){return ie(n,Array.from,t,e)}function ie(n,t,e,i){return(function r(o,s){if(s>=i.length)return e(o);let a=new On,u=i[s++],l=-1;for(let h of o){let c=u(
h,++l,o),f=a.get(c);f?f.push(h):a.set(c,[h])}for(let[h,c]of a)a.set(h,r(c,s));return t(a)})(n,0)}var Hi=Array.prototype,Bo=Hi.slice;var Xi=Math.sqrt(50),zi=Math.sqrt(10),Yi=Math.sqrt(2);function In(n,t,e){let i=(t-n)/Math.max(0,e),r=Math.floor(Math.log10(
i)),o=i/Math.pow(10,r),s=o>=Xi?10:o>=zi?5:o>=Yi?2:1,a,u,l;return r<0?(l=Math.pow(10,-r)/s,a=Math.round(n*l),u=Math.round(
t*l),a/l<n&&++a,u/l>t&&--u,l=-l):(l=Math.pow(10,r)*s,a=Math.round(n/l),u=Math.round(t/l),a*l<n&&++a,u*l>t&&--u),u<a&&.5<=
e&&e<2?In(n,t,e*2):[a,u,l]}function re(n,t,e){if(t=+t,n=+n,e=+e,!(e>0))return[];if(n===t)return[n];let i=t<n,[r,o,s]=i?In(
t,n,e):In(n,t,e);if(!(o>=r))return[];let a=o-r+1,u=new Array(a);if(i)if(s<0)for(let l=0;l<a;++l)u[l]=(o-l)/-s;else for(let l=0;l<
a;++l)u[l]=(o-l)*s;else if(s<0)for(let l=0;l<a;++l)u[l]=(r+l)/-s;else for(let l=0;l<a;++l)u[l]=(r+l)*s;return u}function bn(n,t,e){
return t=+t,n=+n,e=+e,In(n,t,e)[2]}function oe(n,t,e){t=+t,n=+n,e=+e;let i=t<n,r=i?bn(t,n,e):bn(n,t,e);return(i?-1:1)*(r<
0?1/-r:r)}function se(n,t,e){let i;for(;;){let r=bn(n,t,e);if(r===i||r===0||!isFinite(r))return[n,t];if(r>0){let o=Math.
ceil(n/r),s=Math.floor(t/r);n=(o-(o*r>n))*r,t=(s+(s*r<t))*r}else if(r<0){let o=-r,s=Math.ceil(n*o),a=Math.floor(t*o);n=(s-
(s/o>n))/o,t=(a+(a/o<t))/o}i=r}}function at(n,t){let e;if(t===void 0)for(let i of n)i!=null&&(e<i||e===void 0&&i>=i)&&(e=i);else{let i=-1;for(let r of n)
(r=t(r,++i,n))!=null&&(e<r||e===void 0&&r>=r)&&(e=r)}return e}function ut(n,t,e=Wt){if(!(!(i=n.length)||isNaN(t=+t))){if(t<=0||i<2)return+e(n[0],0,n);if(t>=1)return+e(n[i-1],i-1,n);var i,
r=(i-1)*t,o=Math.floor(r),s=+e(n[o],o,n),a=+e(n[o+1],o+1,n);return s+(a-s)*(r-o)}}function ae(n,t){let e=0,i=0;if(t===void 0)for(let r of n)r!=null&&(r=+r)>=r&&(++e,i+=r);else{let r=-1;for(let o of n)(o=
t(o,++r,n))!=null&&(o=+o)>=o&&(++e,i+=o)}if(e)return i/e}function wn(n,t,e){n=+n,t=+t,e=(r=arguments.length)<2?(t=n,n=0,1):r<3?1:+e;for(var i=-1,r=Math.max(0,Math.ceil((t-n)/e))|
0,o=new Array(r);++i<r;)o[i]=n+i*e;return o}var Do=ji(Math.random);function ji(n){return function(e,i=0,r=e.length){let o=r-(i=+i);for(;o;){let s=n()*o--|0,a=e[o+i];
e[o+i]=e[s+i],e[s+i]=a}return e}}function lt(n,t){let e=0;if(t===void 0)for(let i of n)(i=+i)&&(e+=i);else{let i=-1;for(let r of n)
(r=+t(r,++i,n))&&(e+=r)}return e}function Vi(n){return Math.abs(n=Math.round(n))>=1e21?n.toLocaleString("en").replace(/,/g,""):n.toString(10)}function Dn(n,t){
if(!isFinite(n)||n===0)return null;var e=(n=t?n.toExponential(t-1):n.toExponential()).indexOf("e"),i=n.slice(0,e);return[
i.length>1?i[0]+i.slice(2):i,+n.slice(e+1)]}function cn(n){return n=Dn(Math.abs(n)),n?n[1]:NaN}function Gi(n,t){return function(e,i){
for(var r=e.length,o=[],s=0,a=n[0],u=0;r>0&&a>0&&(u+a+1>i&&(a=Math.max(1,i-u)),o.push(e.substring(r-=a,r+a)),!((u+=a+1)>
i));)a=n[s=(s+1)%n.length];return o.reverse().join(t)}}function Qi(n){return function(t){return t.replace(/[0-9]/g,function(e){
return n[+e]})}}var Ui=/^(?:(.)?([<>=^]))?([+\-( ])?([$#])?(0)?(\d+)?(,)?(\.\d+)?(~)?([a-z%])?$/i;function vn(n){if(!(t=
Ui.exec(n)))throw new Error("invalid format: "+n);var t;return new ct({fill:t[1],align:t[2],sign:t[3],symbol:t[4],zero:t[5],
width:t[6],comma:t[7],precision:t[8]&&t[8].slice(1),trim:t[9],type:t[10]})}vn.prototype=ct.prototype;function ct(n){this.
fill=n.fill===void 0?" ":n.fill+"",this.align=n.align===void 0?">":n.align+"",this.sign=n.sign===void 0?"-":n.sign+"",this.
symbol=n.symbol===void 0?"":n.symbol+"",this.zero=!!n.zero,this.width=n.width===void 0?void 0:+n.width,this.comma=!!n.comma,
this.precision=n.precision===void 0?void 0:+n.precision,this.trim=!!n.trim,this.type=n.type===void 0?"":n.type+""}ct.prototype.
toString=function(){return this.fill+this.align+this.sign+this.symbol+(this.zero?"0":"")+(this.width===void 0?"":Math.max(
1,this.width|0))+(this.comma?",":"")+(this.precision===void 0?"":"."+Math.max(0,this.precision|0))+(this.trim?"~":"")+this.
type};function Wi(n){n:for(var t=n.length,e=1,i=-1,r;e<t;++e)switch(n[e]){case".":i=r=e;break;case"0":i===0&&(i=e),r=e;break;default:
if(!+n[e])break n;i>0&&(i=0);break}return i>0?n.slice(0,i)+n.slice(r+1):n}var Fn;function Ji(n,t){var e=Dn(n,t);if(!e)return Fn=
void 0,n.toPrecision(t);var i=e[0],r=e[1],o=r-(Fn=Math.max(-8,Math.min(8,Math.floor(r/3)))*3)+1,s=i.length;return o===s?
i:o>s?i+new Array(o-s+1).join("0"):o>0?i.slice(0,o)+"."+i.slice(o):"0."+new Array(1-o).join("0")+Dn(n,Math.max(0,t+o-1))[0]}
function ue(n,t){var e=Dn(n,t);if(!e)return n+"";var i=e[0],r=e[1];return r<0?"0."+new Array(-r).join("0")+i:i.length>r+
1?i.slice(0,r+1)+"."+i.slice(r+1):i+new Array(r-i.length+2).join("0")}var le={"%":(n,t)=>(n*100).toFixed(t),b:n=>Math.round(
n).toString(2),c:n=>n+"",d:Vi,e:(n,t)=>n.toExponential(t),f:(n,t)=>n.toFixed(t),g:(n,t)=>n.toPrecision(t),o:n=>Math.round(
n).toString(8),p:(n,t)=>ue(n*100,t),r:ue,s:Ji,X:n=>Math.round(n).toString(16).toUpperCase(),x:n=>Math.round(n).toString(
16)};function ce(n){return n}var fe=Array.prototype.map,he=["y","z","a","f","p","n","µ","m","","k","M","G","T","P","E",
"Z","Y"];function Zi(n){var t=n.grouping===void 0||n.thousands===void 0?ce:Gi(fe.call(n.grouping,Number),n.thousands+""),
e=n.currency===void 0?"":n.currency[0]+"",i=n.currency===void 0?"":n.currency[1]+"",r=n.decimal===void 0?".":n.decimal+"",
o=n.numerals===void 0?ce:Qi(fe.call(n.numerals,String)),s=n.percent===void 0?"%":n.percent+"",a=n.minus===void 0?"−":n.
minus+"",u=n.nan===void 0?"NaN":n.nan+"";function l(c,f){c=vn(c);var d=c.fill,g=c.align,p=c.sign,m=c.symbol,y=c.zero,w=c.
width,x=c.comma,v=c.precision,M=c.trim,N=c.type;N==="n"?(x=!0,N="g"):le[N]||(v===void 0&&(v=12),M=!0,N="g"),(y||d==="0"&&
g==="=")&&(y=!0,d="0",g="=");var $=(f&&f.prefix!==void 0?f.prefix:"")+(m==="$"?e:m==="#"&&/[boxX]/.test(N)?"0"+N.toLowerCase():
""),T=(m==="$"?i:/[%p]/.test(N)?s:"")+(f&&f.suffix!==void 0?f.suffix:""),b=le[N],S=/[defgprs%]/.test(N);v=v===void 0?6:/[gprs]/.
test(N)?Math.max(1,Math.min(21,v)):Math.max(0,Math.min(20,v));function L(k){var D=$,A=T,O,Gt,qn;if(N==="c")A=b(k)+A,k="";else{
k=+k;var Cn=k<0||1/k<0;if(k=isNaN(k)?u:b(Math.abs(k),v),M&&(k=Wi(k)),Cn&&+k==0&&p!=="+"&&(Cn=!1),D=(Cn?p==="("?p:a:p==="\
-"||p==="("?"":p)+D,A=(N==="s"&&!isNaN(k)&&Fn!==void 0?he[8+Fn/3]:"")+A+(Cn&&p==="("?")":""),S){for(O=-1,Gt=k.length;++O<
Gt;)if(qn=k.charCodeAt(O),48>qn||qn>57){A=(qn===46?r+k.slice(O+1):k.slice(O))+A,k=k.slice(0,O);break}}}x&&!y&&(k=t(k,1/0));
var Pn=D.length+k.length+A.length,Q=Pn<w?new Array(w-Pn+1).join(d):"";switch(x&&y&&(k=t(Q+k,Q.length?w-A.length:1/0),Q=""),
g){case"<":k=D+k+A+Q;break;case"=":k=D+Q+k+A;break;case"^":k=Q.slice(0,Pn=Q.length>>1)+D+k+A+Q.slice(Pn);break;default:k=
Q+D+k+A;break}return o(k)}return L.toString=function(){return c+""},L}function h(c,f){var d=Math.max(-8,Math.min(8,Math.
floor(cn(f)/3)))*3,g=Math.pow(10,-d),p=l((c=vn(c),c.type="f",c),{suffix:he[8+d/3]});return function(m){return p(g*m)}}return{
format:l,formatPrefix:h}}var Bn,Mn,ft;Ki({thousands:",",grouping:[3],currency:["$",""]});function Ki(n){return Bn=Zi(n),
Mn=Bn.format,ft=Bn.formatPrefix,Bn}function pe(n){return Math.max(0,-cn(Math.abs(n)))}function de(n,t){return Math.max(0,
Math.max(-8,Math.min(8,Math.floor(cn(t)/3)))*3-cn(Math.abs(n)))}function me(n,t){return n=Math.abs(n),t=Math.abs(t)-n,Math.
max(0,cn(t)-cn(n))+1}function Y(...n){return wn(n[0].length).filter(t=>n.every(e=>e[t]!==null))}function Nn(n){let t=[];for(let e of Y(n))(!t.
length||n[e]>n[t.at(-1)])&&t.push(e);return t}function ht(n,t,e){let[i,r]=e.map(s=>s?F:ln),o=[];for(let s of Y(n,t).sort(
(a,u)=>i(n[a],n[u])||r(t[a],t[u])||a-u)){let a=o.at(-1),u=a===void 0?-1:r(t[s],t[a]);(u<0||u===0&&n[s]===n[a])&&o.push(s)}
return o.sort((s,a)=>F(n[s],n[a])||s-a)}var ge=Number.MAX_VALUE/8;function kn(n){return n.filter(t=>t!==null).map(t=>Math.
max(-ge,Math.min(t,ge)))}function Hn(n,t=[]){let e=kn(n).sort(F);if(!e.length)return[0,1];let[i,r]=[.25,.75].map(h=>ut(e,
h)),o=3*(r-i)||1/0,s=e.filter(h=>h>=i-o&&h<=r+o),[a,u]=Ln([...s,...kn(t)]),l=a<u?0:Math.abs(a)*.05||.5;return se(a-l,u+l,
5)}function Xn(n,t){let e=at(n.domain(),Math.abs);return n.tickFormat(t,e>=1e16||e<1e-4?"e":e>=1e4?"s":"f")}var[nr,tr,er]=[
".5~r",".5~s",".2e"].map(Mn);function B(n){if(n==null)return"–";let t=Math.abs(n);return t>=1e16||t>0&&t<1e-4?er(n):t>=
1e5?tr(n):nr(n)}function zn(n,t){return n.candidates[t]||`input ${t}`}function U(n,t){if(t==null)return"–";let e=[t].flat();
return e.length?e.map(i=>zn(n,i)).join(", "):"none"}function pt(n,t){let e=n.candidates.every(i=>i)&&new Set(n.candidates).
size===n.candidates.length;return Array.isArray(t)?t.map(i=>e?n.candidates[i]:i):e?n.candidates[t]:t}function dt(n,t){let e=[];
for(let[i,...r]of n){let o=r.map(s=>e[s]);if(i==="chosen"||i==="present"){let s=t[r[0]],a=[s].flat();e.push(s===null?null:
i==="present"?a.length>0:a.includes(r[1]))}else if(i==="not")e.push(o[0]===null?null:!o[0]);else{let s=i==="any";e.push(
o.includes(s)?s:o.includes(null)?null:!s)}}return e}function mt(n){let t=Y(n).sort((e,i)=>ln(n[e],n[i])||e-i);return new Set(
t.slice(0,Math.ceil(t.length/10)))}function gt(n,t,e,i){let r=Y(t,e),o=lt(r,h=>i.has(h)),s=r.flatMap(h=>{let c=[t[h]].flat();
return(c.length?c:[null]).map(f=>({index:f,score:e[h],top:i.has(h)}))}),a=h=>({n:h.length,mean:ae(h,({score:c})=>c)??null,
best:at(h,({score:c})=>c)??null,share:o?lt(h,({top:c})=>c)/o:null}),u=te(s,a,({index:h})=>h);return[...n.candidates.keys(),
...u.has(null)?[null]:[]].map(h=>({index:h,...u.get(h)??a([])}))}var ir="http://www.w3.org/2000/svg";function _(n,t={},...e){return _e(document.createElement(n),t,e)}function E(n,t={},...e){
return _e(document.createElementNS(ir,n),t,e)}function _e(n,t,e){for(let[i,r]of Object.entries(t))r===null||r===!1||(i.startsWith(
"on")?n.addEventListener(i.slice(2),r):n.setAttribute(i,r===!0?"":r));return n.append(...e.flat().filter(i=>i!==null)),n}
function H(n,t,{subtitle:e=null,controls:i=[]}={},...r){let o=`title-${n}`;return _("section",{class:`card ${n}`,"aria-l\
abelledby":o},_("header",{},_("div",{},_("h2",{id:o},t),e),_("div",{class:"controls"},i)),r)}function nn(n,t,e,i){let r=_(
"select",{onchange:()=>i(r.value)},t.map(([o,s])=>_("option",{value:o},s)));return r.value=e,_("label",{},_("span",{},n),
r)}function ye(n){let{choices:t,columns:e,errors:i,trials:r,best:o}=n.data,s=_("p"),a=_("div",{class:"scroll"}),u=_("button",
{type:"button",onclick:()=>n.select(o)},"Best");function l(){let p=n.selected;if(u.hidden=o===null||p===o,p===null)return s.
textContent="no trial has a score yet",a.replaceChildren();let m=o!==null&&p!==o,y=m?t.filter((w,x)=>h(x,p)).length:0;s.
textContent=m?`${y} of ${t.length} choices differ from trial ${r.number[o]}, the best`:"the best trial",a.replaceChildren(
c(p),...f(p),d(p,m),g(p))}function h(p,m){return U(t[p],r.decisions[p][m])!==U(t[p],r.decisions[p][o])}function c(p){let m=e.
filter(({values:x})=>x[p]!==null),y=r.source[p]===null?[]:[["as in trial",r.source[p]]],w=[["trial",r.number[p]],["state",
r.state[p]],...m.map(({name:x,values:v})=>[x,B(v[p])]),...y];return _("dl",{},w.map(([x,v])=>_("div",{},_("dt",{},x),_("\
dd",{},String(v)))))}function f(p){return r.error[p]===null?[]:[_("p",{class:"error"},i[r.error[p]])]}function d(p,m){let y=m?
[`trial ${r.number[o]}`,`trial ${r.number[p]}`]:[`trial ${r.number[p]}`],w=t.map((x,v)=>{let M=(m?[o,p]:[p]).map($=>U(x,
r.decisions[v][$])),N=m?h(v,p)?"differs":"same":null;return _("tr",{class:N},_("th",{scope:"row"},x.key),M.map($=>_("td",
{},$)))});return _("table",{class:"decisions"},_("thead",{},_("tr",{},["choice",...y].map(x=>_("th",{scope:"col"},x)))),
_("tbody",{},w))}function g(p){let m=t.map((w,x)=>[w,r.decisions[x][p]]).filter(([,w])=>w!==null),y=JSON.stringify(Object.
fromEntries(m.map(([w,x])=>[w.key,pt(w,x)])),null,2);return _("details",{},_("summary",{},"As an architecture file"),_("\
pre",{tabindex:0},y))}return n.onshow(l),n.onselect(l),H("architecture","Architecture",{subtitle:s,controls:[u]},a)}var $n=Math.PI,_t=2*$n,tn=1e-6,rr=_t-tn;function xe(n){this._+=n[0];for(let t=1,e=n.length;t<e;++t)this._+=arguments[t]+
n[t]}function or(n){let t=Math.floor(n);if(!(t>=0))throw new Error(`invalid digits: ${n}`);if(t>15)return xe;let e=10**t;
return function(i){this._+=i[0];for(let r=1,o=i.length;r<o;++r)this._+=Math.round(arguments[r]*e)/e+i[r]}}function be(n,t,e,i){
return n===e&&t===i}function sr(n){let t=Math.floor(n);if(!(t<=15))return be;let e=10**t,i=function(r){return Math.round(
r*e)};return function(r,o,s,a){return i(r)===i(s)&&i(o)===i(a)}}var fn=class{constructor(t){this._x0=this._y0=this._x1=this.
_y1=null,this._="",this._append=t==null?xe:or(t),this._equal=t==null?be:sr(t)}moveTo(t,e){this._append`M${this._x0=this.
_x1=+t},${this._y0=this._y1=+e}`}closePath(){this._x1!==null&&(this._x1=this._x0,this._y1=this._y0,this._append`Z`)}lineTo(t,e){
this._append`L${this._x1=+t},${this._y1=+e}`}quadraticCurveTo(t,e,i,r){this._append`Q${+t},${+e},${this._x1=+i},${this._y1=
+r}`}bezierCurveTo(t,e,i,r,o,s){this._append`C${+t},${+e},${+i},${+r},${this._x1=+o},${this._y1=+s}`}arcTo(t,e,i,r,o){if(t=
+t,e=+e,i=+i,r=+r,o=+o,o<0)throw new Error(`negative radius: ${o}`);let s=this._x1,a=this._y1,u=i-t,l=r-e,h=s-t,c=a-e,f=h*
h+c*c;if(this._x1===null)this._append`M${this._x1=t},${this._y1=e}`;else if(f>tn)if(!(Math.abs(c*u-l*h)>tn)||!o)this._append`L${this.
_x1=t},${this._y1=e}`;else{let d=i-s,g=r-a,p=u*u+l*l,m=d*d+g*g,y=Math.sqrt(p),w=Math.sqrt(f),x=o*Math.tan(($n-Math.acos(
(p+f-m)/(2*y*w)))/2),v=x/w,M=x/y;Math.abs(v-1)>tn&&this._append`L${t+v*h},${e+v*c}`,this._append`A${o},${o},0,0,${+(c*d>
h*g)},${this._x1=t+M*u},${this._y1=e+M*l}`}}arc(t,e,i,r,o,s){if(t=+t,e=+e,i=+i,s=!!s,i<0)throw new Error(`negative radiu\
s: ${i}`);let a=i*Math.cos(r),u=i*Math.sin(r),l=t+a,h=e+u,c=1^s,f=s?r-o:o-r;if(this._x1===null?this._append`M${l},${h}`:
(Math.abs(this._x1-l)>tn||Math.abs(this._y1-h)>tn)&&this._append`L${l},${h}`,!!i){if(f<0&&(f=f%_t+_t),f>rr)this._append`A${i},${i},0,1,${c},${t-
a},${e-u}A${i},${i},0,1,${c},${this._x1=l},${this._y1=h}`;else if(f>tn){let d=t+i*Math.cos(o),g=e+i*Math.sin(o);if(f>=$n&&
this._equal(l,h,d,g)){f/=2;let p=r+f;this._append`A${i},${i},0,${+(f>=$n)},${c},${t+i*Math.cos(p)},${e+i*Math.sin(p)}`}this.
_append`A${i},${i},0,${+(f>=$n)},${c},${this._x1=d},${this._y1=g}`}}}rect(t,e,i,r){this._append`M${this._x0=this._x1=+t},${this.
_y0=this._y1=+e}h${i=+i}v${+r}h${-i}Z`}toString(){return this._}};function ar(){return new fn}ar.prototype=fn.prototype;function hn(n){return function(){return n}}var ur=Math.cos;var xt=Math.sin,pn=Math.sqrt,we=1e-12,Yn=Math.PI,Jo=Yn/2,$e=2*Yn;function lr(n){let t=3;return n.digits=function(e){if(!arguments.length)return t;if(e==null)t=null;else{let i=Math.floor(
e);if(!(i>=0))throw new RangeError(`invalid digits: ${e}`);t=i}return n},()=>new fn(t)}var Zo=Array.prototype.slice;function cr(n){return typeof n=="object"&&"length"in n?n:Array.from(n)}function Te(n){this.
_context=n}Te.prototype={areaStart:function(){this._line=0},areaEnd:function(){this._line=NaN},lineStart:function(){this.
_point=0},lineEnd:function(){(this._line||this._line!==0&&this._point===1)&&this._context.closePath(),this._line=1-this.
_line},point:function(n,t){switch(n=+n,t=+t,this._point){case 0:this._point=1,this._line?this._context.lineTo(n,t):this.
_context.moveTo(n,t);break;case 1:this._point=2;default:this._context.lineTo(n,t);break}}};function Ae(n){return new Te(
n)}function fr(n){return n[0]}function hr(n){return n[1]}function Gn(n,t){var e=hn(!0),i=null,r=Ae,o=null,s=lr(a);n=typeof n==
"function"?n:n===void 0?fr:hn(n),t=typeof t=="function"?t:t===void 0?hr:hn(t);function a(u){var l,h=(u=cr(u)).length,c,f=!1,
d;for(i==null&&(o=r(d=s())),l=0;l<=h;++l)!(l<h&&e(c=u[l],l,u))===f&&((f=!f)?o.lineStart():o.lineEnd()),f&&o.point(+n(c,l,
u),+t(c,l,u));if(d)return o=null,d+""||null}return a.x=function(u){return arguments.length?(n=typeof u=="function"?u:hn(
+u),a):n},a.y=function(u){return arguments.length?(t=typeof u=="function"?u:hn(+u),a):t},a.defined=function(u){return arguments.
length?(e=typeof u=="function"?u:hn(!!u),a):e},a.curve=function(u){return arguments.length?(r=u,i!=null&&(o=r(i)),a):r},
a.context=function(u){return arguments.length?(u==null?i=o=null:o=r(i=u),a):i},a}var Ko=pr(Ae);function Se(n){this._curve=n}Se.prototype={areaStart:function(){this._curve.areaStart()},areaEnd:function(){
this._curve.areaEnd()},lineStart:function(){this._curve.lineStart()},lineEnd:function(){this._curve.lineEnd()},point:function(n,t){
this._curve.point(t*Math.sin(n),t*-Math.cos(n))}};function pr(n){function t(e){return new Se(n(e))}return t._curve=n,t}var bt=class{constructor(t,e){this._context=t,this._x=e}areaStart(){this._line=0}areaEnd(){this._line=NaN}lineStart(){this.
_point=0}lineEnd(){(this._line||this._line!==0&&this._point===1)&&this._context.closePath(),this._line=1-this._line}point(t,e){
switch(t=+t,e=+e,this._point){case 0:{this._point=1,this._line?this._context.lineTo(t,e):this._context.moveTo(t,e);break}case 1:
this._point=2;default:{this._x?this._context.bezierCurveTo(this._x0=(this._x0+t)/2,this._y0,this._x0,e,t,e):this._context.
bezierCurveTo(this._x0,this._y0=(this._y0+e)/2,t,this._y0,t,e);break}}this._x0=t,this._y0=e}};function Ee(n){return new bt(n,!1)}var ns=pn(3);var dr=pn(1/3),ts=dr*2;var Re=xt(Yn/10)/xt(7*Yn/10),es=xt($e/10)*Re,is=-ur($e/10)*Re;var rs=pn(3);var os=pn(3);var ss=pn(3)/2,mr=1/pn(12),as=(mr/2+1)*3;function J(){}function jn(n,t,e){n._context.bezierCurveTo((2*n._x0+n._x1)/3,(2*n._y0+n._y1)/3,(n._x0+2*n._x1)/3,(n._y0+2*
n._y1)/3,(n._x0+4*n._x1+t)/6,(n._y0+4*n._y1+e)/6)}function vt(n){this._context=n}vt.prototype={areaStart:function(){this.
_line=0},areaEnd:function(){this._line=NaN},lineStart:function(){this._x0=this._x1=this._y0=this._y1=NaN,this._point=0},
lineEnd:function(){switch(this._point){case 3:jn(this,this._x1,this._y1);case 2:this._context.lineTo(this._x1,this._y1);
break}(this._line||this._line!==0&&this._point===1)&&this._context.closePath(),this._line=1-this._line},point:function(n,t){
switch(n=+n,t=+t,this._point){case 0:this._point=1,this._line?this._context.lineTo(n,t):this._context.moveTo(n,t);break;case 1:
this._point=2;break;case 2:this._point=3,this._context.lineTo((5*this._x0+this._x1)/6,(5*this._y0+this._y1)/6);default:jn(
this,n,t);break}this._x0=this._x1,this._x1=n,this._y0=this._y1,this._y1=t}};function gr(n){this._context=n}gr.prototype={areaStart:J,areaEnd:J,lineStart:function(){this._x0=this._x1=this._x2=this.
_x3=this._x4=this._y0=this._y1=this._y2=this._y3=this._y4=NaN,this._point=0},lineEnd:function(){switch(this._point){case 1:{
this._context.moveTo(this._x2,this._y2),this._context.closePath();break}case 2:{this._context.moveTo((this._x2+2*this._x3)/
3,(this._y2+2*this._y3)/3),this._context.lineTo((this._x3+2*this._x2)/3,(this._y3+2*this._y2)/3),this._context.closePath();
break}case 3:{this.point(this._x2,this._y2),this.point(this._x3,this._y3),this.point(this._x4,this._y4);break}}},point:function(n,t){
switch(n=+n,t=+t,this._point){case 0:this._point=1,this._x2=n,this._y2=t;break;case 1:this._point=2,this._x3=n,this._y3=
t;break;case 2:this._point=3,this._x4=n,this._y4=t,this._context.moveTo((this._x0+4*this._x1+n)/6,(this._y0+4*this._y1+t)/
6);break;default:jn(this,n,t);break}this._x0=this._x1,this._x1=n,this._y0=this._y1,this._y1=t}};function _r(n){this._context=n}_r.prototype={areaStart:function(){this._line=0},areaEnd:function(){this._line=NaN},lineStart:function(){
this._x0=this._x1=this._y0=this._y1=NaN,this._point=0},lineEnd:function(){(this._line||this._line!==0&&this._point===3)&&
this._context.closePath(),this._line=1-this._line},point:function(n,t){switch(n=+n,t=+t,this._point){case 0:this._point=
1;break;case 1:this._point=2;break;case 2:this._point=3;var e=(this._x0+4*this._x1+n)/6,i=(this._y0+4*this._y1+t)/6;this.
_line?this._context.lineTo(e,i):this._context.moveTo(e,i);break;case 3:this._point=4;default:jn(this,n,t);break}this._x0=
this._x1,this._x1=n,this._y0=this._y1,this._y1=t}};function qe(n,t){this._basis=new vt(n),this._beta=t}qe.prototype={lineStart:function(){this._x=[],this._y=[],this._basis.
lineStart()},lineEnd:function(){var n=this._x,t=this._y,e=n.length-1;if(e>0)for(var i=n[0],r=t[0],o=n[e]-i,s=t[e]-r,a=-1,
u;++a<=e;)u=a/e,this._basis.point(this._beta*n[a]+(1-this._beta)*(i+u*o),this._beta*t[a]+(1-this._beta)*(r+u*s));this._x=
this._y=null,this._basis.lineEnd()},point:function(n,t){this._x.push(+n),this._y.push(+t)}};var us=(function n(t){function e(i){
return t===1?new vt(i):new qe(i,t)}return e.beta=function(i){return n(+i)},e})(.85);function Vn(n,t,e){n._context.bezierCurveTo(
n._x1+n._k*(n._x2-n._x0),n._y1+n._k*(n._y2-n._y0),n._x2+n._k*(n._x1-t),n._y2+n._k*(n._y1-e),n._x2,n._y2)}function Mt(n,t){
this._context=n,this._k=(1-t)/6}Mt.prototype={areaStart:function(){this._line=0},areaEnd:function(){this._line=NaN},lineStart:function(){
this._x0=this._x1=this._x2=this._y0=this._y1=this._y2=NaN,this._point=0},lineEnd:function(){switch(this._point){case 2:this.
_context.lineTo(this._x2,this._y2);break;case 3:Vn(this,this._x1,this._y1);break}(this._line||this._line!==0&&this._point===
1)&&this._context.closePath(),this._line=1-this._line},point:function(n,t){switch(n=+n,t=+t,this._point){case 0:this._point=
1,this._line?this._context.lineTo(n,t):this._context.moveTo(n,t);break;case 1:this._point=2,this._x1=n,this._y1=t;break;case 2:
this._point=3;default:Vn(this,n,t);break}this._x0=this._x1,this._x1=this._x2,this._x2=n,this._y0=this._y1,this._y1=this.
_y2,this._y2=t}};var ls=(function n(t){function e(i){return new Mt(i,t)}return e.tension=function(i){return n(+i)},e})(0);
function kt(n,t){this._context=n,this._k=(1-t)/6}kt.prototype={areaStart:J,areaEnd:J,lineStart:function(){this._x0=this.
_x1=this._x2=this._x3=this._x4=this._x5=this._y0=this._y1=this._y2=this._y3=this._y4=this._y5=NaN,this._point=0},lineEnd:function(){
switch(this._point){case 1:{this._context.moveTo(this._x3,this._y3),this._context.closePath();break}case 2:{this._context.
lineTo(this._x3,this._y3),this._context.closePath();break}case 3:{this.point(this._x3,this._y3),this.point(this._x4,this.
_y4),this.point(this._x5,this._y5);break}}},point:function(n,t){switch(n=+n,t=+t,this._point){case 0:this._point=1,this.
_x3=n,this._y3=t;break;case 1:this._point=2,this._context.moveTo(this._x4=n,this._y4=t);break;case 2:this._point=3,this.
_x5=n,this._y5=t;break;default:Vn(this,n,t);break}this._x0=this._x1,this._x1=this._x2,this._x2=n,this._y0=this._y1,this.
_y1=this._y2,this._y2=t}};var cs=(function n(t){function e(i){return new kt(i,t)}return e.tension=function(i){return n(+i)},
e})(0);function Nt(n,t){this._context=n,this._k=(1-t)/6}Nt.prototype={areaStart:function(){this._line=0},areaEnd:function(){
this._line=NaN},lineStart:function(){this._x0=this._x1=this._x2=this._y0=this._y1=this._y2=NaN,this._point=0},lineEnd:function(){
(this._line||this._line!==0&&this._point===3)&&this._context.closePath(),this._line=1-this._line},point:function(n,t){switch(n=
+n,t=+t,this._point){case 0:this._point=1;break;case 1:this._point=2;break;case 2:this._point=3,this._line?this._context.
lineTo(this._x2,this._y2):this._context.moveTo(this._x2,this._y2);break;case 3:this._point=4;default:Vn(this,n,t);break}
this._x0=this._x1,this._x1=this._x2,this._x2=n,this._y0=this._y1,this._y1=this._y2,this._y2=t}};var fs=(function n(t){function e(i){
return new Nt(i,t)}return e.tension=function(i){return n(+i)},e})(0);function $t(n,t,e){var i=n._x1,r=n._y1,o=n._x2,s=n.
_y2;if(n._l01_a>we){var a=2*n._l01_2a+3*n._l01_a*n._l12_a+n._l12_2a,u=3*n._l01_a*(n._l01_a+n._l12_a);i=(i*a-n._x0*n._l12_2a+
n._x2*n._l01_2a)/u,r=(r*a-n._y0*n._l12_2a+n._y2*n._l01_2a)/u}if(n._l23_a>we){var l=2*n._l23_2a+3*n._l23_a*n._l12_a+n._l12_2a,
h=3*n._l23_a*(n._l23_a+n._l12_a);o=(o*l+n._x1*n._l23_2a-t*n._l12_2a)/h,s=(s*l+n._y1*n._l23_2a-e*n._l12_2a)/h}n._context.
bezierCurveTo(i,r,o,s,n._x2,n._y2)}function Ce(n,t){this._context=n,this._alpha=t}Ce.prototype={areaStart:function(){this.
_line=0},areaEnd:function(){this._line=NaN},lineStart:function(){this._x0=this._x1=this._x2=this._y0=this._y1=this._y2=NaN,
this._l01_a=this._l12_a=this._l23_a=this._l01_2a=this._l12_2a=this._l23_2a=this._point=0},lineEnd:function(){switch(this.
_point){case 2:this._context.lineTo(this._x2,this._y2);break;case 3:this.point(this._x2,this._y2);break}(this._line||this.
_line!==0&&this._point===1)&&this._context.closePath(),this._line=1-this._line},point:function(n,t){if(n=+n,t=+t,this._point){
var e=this._x2-n,i=this._y2-t;this._l23_a=Math.sqrt(this._l23_2a=Math.pow(e*e+i*i,this._alpha))}switch(this._point){case 0:
this._point=1,this._line?this._context.lineTo(n,t):this._context.moveTo(n,t);break;case 1:this._point=2;break;case 2:this.
_point=3;default:$t(this,n,t);break}this._l01_a=this._l12_a,this._l12_a=this._l23_a,this._l01_2a=this._l12_2a,this._l12_2a=
this._l23_2a,this._x0=this._x1,this._x1=this._x2,this._x2=n,this._y0=this._y1,this._y1=this._y2,this._y2=t}};var hs=(function n(t){
function e(i){return t?new Ce(i,t):new Mt(i,0)}return e.alpha=function(i){return n(+i)},e})(.5);function Pe(n,t){this._context=
n,this._alpha=t}Pe.prototype={areaStart:J,areaEnd:J,lineStart:function(){this._x0=this._x1=this._x2=this._x3=this._x4=this.
_x5=this._y0=this._y1=this._y2=this._y3=this._y4=this._y5=NaN,this._l01_a=this._l12_a=this._l23_a=this._l01_2a=this._l12_2a=
this._l23_2a=this._point=0},lineEnd:function(){switch(this._point){case 1:{this._context.moveTo(this._x3,this._y3),this.
_context.closePath();break}case 2:{this._context.lineTo(this._x3,this._y3),this._context.closePath();break}case 3:{this.
point(this._x3,this._y3),this.point(this._x4,this._y4),this.point(this._x5,this._y5);break}}},point:function(n,t){if(n=+n,
t=+t,this._point){var e=this._x2-n,i=this._y2-t;this._l23_a=Math.sqrt(this._l23_2a=Math.pow(e*e+i*i,this._alpha))}switch(this.
_point){case 0:this._point=1,this._x3=n,this._y3=t;break;case 1:this._point=2,this._context.moveTo(this._x4=n,this._y4=t);
break;case 2:this._point=3,this._x5=n,this._y5=t;break;default:$t(this,n,t);break}this._l01_a=this._l12_a,this._l12_a=this.
_l23_a,this._l01_2a=this._l12_2a,this._l12_2a=this._l23_2a,this._x0=this._x1,this._x1=this._x2,this._x2=n,this._y0=this.
_y1,this._y1=this._y2,this._y2=t}};var ps=(function n(t){function e(i){return t?new Pe(i,t):new kt(i,0)}return e.alpha=function(i){
return n(+i)},e})(.5);function Oe(n,t){this._context=n,this._alpha=t}Oe.prototype={areaStart:function(){this._line=0},areaEnd:function(){
this._line=NaN},lineStart:function(){this._x0=this._x1=this._x2=this._y0=this._y1=this._y2=NaN,this._l01_a=this._l12_a=this.
_l23_a=this._l01_2a=this._l12_2a=this._l23_2a=this._point=0},lineEnd:function(){(this._line||this._line!==0&&this._point===
3)&&this._context.closePath(),this._line=1-this._line},point:function(n,t){if(n=+n,t=+t,this._point){var e=this._x2-n,i=this.
_y2-t;this._l23_a=Math.sqrt(this._l23_2a=Math.pow(e*e+i*i,this._alpha))}switch(this._point){case 0:this._point=1;break;case 1:
this._point=2;break;case 2:this._point=3,this._line?this._context.lineTo(this._x2,this._y2):this._context.moveTo(this._x2,
this._y2);break;case 3:this._point=4;default:$t(this,n,t);break}this._l01_a=this._l12_a,this._l12_a=this._l23_a,this._l01_2a=
this._l12_2a,this._l12_2a=this._l23_2a,this._x0=this._x1,this._x1=this._x2,this._x2=n,this._y0=this._y1,this._y1=this._y2,
this._y2=t}};var ds=(function n(t){function e(i){return t?new Oe(i,t):new Nt(i,0)}return e.alpha=function(i){return n(+i)},
e})(.5);function yr(n){this._context=n}yr.prototype={areaStart:J,areaEnd:J,lineStart:function(){this._point=0},lineEnd:function(){
this._point&&this._context.closePath()},point:function(n,t){n=+n,t=+t,this._point?this._context.lineTo(n,t):(this._point=
1,this._context.moveTo(n,t))}};function ve(n){return n<0?-1:1}function Me(n,t,e){var i=n._x1-n._x0,r=t-n._x1,o=(n._y1-n._y0)/(i||r<0&&-0),s=(e-n._y1)/(r||
i<0&&-0),a=(o*r+s*i)/(i+r);return(ve(o)+ve(s))*Math.min(Math.abs(o),Math.abs(s),.5*Math.abs(a))||0}function ke(n,t){var e=n.
_x1-n._x0;return e?(3*(n._y1-n._y0)/e-t)/2:t}function yt(n,t,e){var i=n._x0,r=n._y0,o=n._x1,s=n._y1,a=(o-i)/3;n._context.
bezierCurveTo(i+a,r+a*t,o-a,s-a*e,o,s)}function wt(n){this._context=n}wt.prototype={areaStart:function(){this._line=0},areaEnd:function(){
this._line=NaN},lineStart:function(){this._x0=this._x1=this._y0=this._y1=this._t0=NaN,this._point=0},lineEnd:function(){
switch(this._point){case 2:this._context.lineTo(this._x1,this._y1);break;case 3:yt(this,this._t0,ke(this,this._t0));break}
(this._line||this._line!==0&&this._point===1)&&this._context.closePath(),this._line=1-this._line},point:function(n,t){var e=NaN;
if(n=+n,t=+t,!(n===this._x1&&t===this._y1)){switch(this._point){case 0:this._point=1,this._line?this._context.lineTo(n,t):
this._context.moveTo(n,t);break;case 1:this._point=2;break;case 2:this._point=3,yt(this,ke(this,e=Me(this,n,t)),e);break;default:
yt(this,this._t0,e=Me(this,n,t));break}this._x0=this._x1,this._x1=n,this._y0=this._y1,this._y1=t,this._t0=e}}};function xr(n){
this._context=new Ie(n)}(xr.prototype=Object.create(wt.prototype)).point=function(n,t){wt.prototype.point.call(this,t,n)};
function Ie(n){this._context=n}Ie.prototype={moveTo:function(n,t){this._context.moveTo(t,n)},closePath:function(){this._context.
closePath()},lineTo:function(n,t){this._context.lineTo(t,n)},bezierCurveTo:function(n,t,e,i,r,o){this._context.bezierCurveTo(
t,n,i,e,o,r)}};function br(n){this._context=n}br.prototype={areaStart:function(){this._line=0},areaEnd:function(){this._line=NaN},lineStart:function(){
this._x=[],this._y=[]},lineEnd:function(){var n=this._x,t=this._y,e=n.length;if(e)if(this._line?this._context.lineTo(n[0],
t[0]):this._context.moveTo(n[0],t[0]),e===2)this._context.lineTo(n[1],t[1]);else for(var i=Ne(n),r=Ne(t),o=0,s=1;s<e;++o,
++s)this._context.bezierCurveTo(i[0][o],r[0][o],i[1][o],r[1][o],n[s],t[s]);(this._line||this._line!==0&&e===1)&&this._context.
closePath(),this._line=1-this._line,this._x=this._y=null},point:function(n,t){this._x.push(+n),this._y.push(+t)}};function Ne(n){
var t,e=n.length-1,i,r=new Array(e),o=new Array(e),s=new Array(e);for(r[0]=0,o[0]=2,s[0]=n[0]+2*n[1],t=1;t<e-1;++t)r[t]=
1,o[t]=4,s[t]=4*n[t]+2*n[t+1];for(r[e-1]=2,o[e-1]=7,s[e-1]=8*n[e-1]+n[e],t=1;t<e;++t)i=r[t]/o[t-1],o[t]-=i,s[t]-=i*s[t-1];
for(r[e-1]=s[e-1]/o[e-1],t=e-2;t>=0;--t)r[t]=(s[t]-r[t+1])/o[t];for(o[e-1]=(n[e]+r[e-1])/2,t=0;t<e-1;++t)o[t]=2*n[t+1]-r[t+
1];return[r,o]}function Tt(n,t){this._context=n,this._t=t}Tt.prototype={areaStart:function(){this._line=0},areaEnd:function(){this._line=
NaN},lineStart:function(){this._x=this._y=NaN,this._point=0},lineEnd:function(){0<this._t&&this._t<1&&this._point===2&&this.
_context.lineTo(this._x,this._y),(this._line||this._line!==0&&this._point===1)&&this._context.closePath(),this._line>=0&&
(this._t=1-this._t,this._line=1-this._line)},point:function(n,t){switch(n=+n,t=+t,this._point){case 0:this._point=1,this.
_line?this._context.lineTo(n,t):this._context.moveTo(n,t);break;case 1:this._point=2;default:{if(this._t<=0)this._context.
lineTo(this._x,t),this._context.lineTo(n,t);else{var e=this._x*(1-this._t)+n*this._t;this._context.lineTo(e,this._y),this.
_context.lineTo(e,t)}break}}this._x=n,this._y=t}};function Le(n){return new Tt(n,0)}function At(n){return new Tt(n,1)}function wr(n){let t=+this._x.call(null,n),e=+this._y.call(null,n);return De(this.cover(t,e),t,e,n)}function De(n,t,e,i){
if(isNaN(t)||isNaN(e))return n;var r,o=n._root,s={data:i},a=n._x0,u=n._y0,l=n._x1,h=n._y1,c,f,d,g,p,m,y,w;if(!o)return n.
_root=s,n;for(;o.length;)if((p=t>=(c=(a+l)/2))?a=c:l=c,(m=e>=(f=(u+h)/2))?u=f:h=f,r=o,!(o=o[y=m<<1|p]))return r[y]=s,n;if(d=
+n._x.call(null,o.data),g=+n._y.call(null,o.data),t===d&&e===g)return s.next=o,r?r[y]=s:n._root=s,n;do r=r?r[y]=new Array(
4):n._root=new Array(4),(p=t>=(c=(a+l)/2))?a=c:l=c,(m=e>=(f=(u+h)/2))?u=f:h=f;while((y=m<<1|p)===(w=(g>=f)<<1|d>=c));return r[w]=
o,r[y]=s,n}function vr(n){Array.isArray(n)||(n=Array.from(n));let t=n.length,e=new Float64Array(t),i=new Float64Array(t),
r=1/0,o=r,s=-r,a=s;for(let u=0,l,h,c;u<t;++u){if(isNaN(h=+this._x.call(null,l=n[u]))||isNaN(c=+this._y.call(null,l))){e[u]=
NaN;continue}e[u]=h,i[u]=c,h<r&&(r=h),h>s&&(s=h),c<o&&(o=c),c>a&&(a=c)}if(r>s||o>a)return this;this.cover(r,o).cover(s,a);
for(let u=0;u<t;++u)De(this,e[u],i[u],n[u]);return this}function Mr(n,t){if(isNaN(n=+n)||isNaN(t=+t))return this;var e=this.
_x0,i=this._y0,r=this._x1,o=this._y1;if(isNaN(e))r=(e=Math.floor(n))+1,o=(i=Math.floor(t))+1;else{for(var s=r-e||1,a=this.
_root,u,l;e>n||n>=r||i>t||t>=o;)switch(l=(t<i)<<1|n<e,u=new Array(4),u[l]=a,a=u,s*=2,l){case 0:r=e+s,o=i+s;break;case 1:
e=r-s,o=i+s;break;case 2:r=e+s,i=o-s;break;case 3:e=r-s,i=o-s;break}this._root&&this._root.length&&(this._root=a)}return this.
_x0=e,this._y0=i,this._x1=r,this._y1=o,this}function kr(){var n=[];return this.visit(function(t){if(!t.length)do n.push(
t.data);while(t=t.next)}),n}function Nr(n){return arguments.length?this.cover(+n[0][0],+n[0][1]).cover(+n[1][0],+n[1][1]):
isNaN(this._x0)?void 0:[[this._x0,this._y0],[this._x1,this._y1]]}function C(n,t,e,i,r){this.node=n,this.x0=t,this.y0=e,this.
x1=i,this.y1=r}function $r(n,t,e){var i,r=this._x0,o=this._y0,s,a,u,l,h=this._x1,c=this._y1,f=[],d=this._root,g,p;for(d&&
f.push(new C(d,r,o,h,c)),e==null?e=1/0:(r=n-e,o=t-e,h=n+e,c=t+e,e*=e);g=f.pop();)if(!(!(d=g.node)||(s=g.x0)>h||(a=g.y0)>
c||(u=g.x1)<r||(l=g.y1)<o))if(d.length){var m=(s+u)/2,y=(a+l)/2;f.push(new C(d[3],m,y,u,l),new C(d[2],s,y,m,l),new C(d[1],
m,a,u,y),new C(d[0],s,a,m,y)),(p=(t>=y)<<1|n>=m)&&(g=f[f.length-1],f[f.length-1]=f[f.length-1-p],f[f.length-1-p]=g)}else{
var w=n-+this._x.call(null,d.data),x=t-+this._y.call(null,d.data),v=w*w+x*x;if(v<e){var M=Math.sqrt(e=v);r=n-M,o=t-M,h=n+
M,c=t+M,i=d.data}}return i}function Tr(n){if(isNaN(h=+this._x.call(null,n))||isNaN(c=+this._y.call(null,n)))return this;
var t,e=this._root,i,r,o,s=this._x0,a=this._y0,u=this._x1,l=this._y1,h,c,f,d,g,p,m,y;if(!e)return this;if(e.length)for(;;){
if((g=h>=(f=(s+u)/2))?s=f:u=f,(p=c>=(d=(a+l)/2))?a=d:l=d,t=e,!(e=e[m=p<<1|g]))return this;if(!e.length)break;(t[m+1&3]||
t[m+2&3]||t[m+3&3])&&(i=t,y=m)}for(;e.data!==n;)if(r=e,!(e=e.next))return this;return(o=e.next)&&delete e.next,r?(o?r.next=
o:delete r.next,this):t?(o?t[m]=o:delete t[m],(e=t[0]||t[1]||t[2]||t[3])&&e===(t[3]||t[2]||t[1]||t[0])&&!e.length&&(i?i[y]=
e:this._root=e),this):(this._root=o,this)}function Ar(n){for(var t=0,e=n.length;t<e;++t)this.remove(n[t]);return this}function Sr(){
return this._root}function Er(){var n=0;return this.visit(function(t){if(!t.length)do++n;while(t=t.next)}),n}function Rr(n){
var t=[],e,i=this._root,r,o,s,a,u;for(i&&t.push(new C(i,this._x0,this._y0,this._x1,this._y1));e=t.pop();)if(!n(i=e.node,
o=e.x0,s=e.y0,a=e.x1,u=e.y1)&&i.length){var l=(o+a)/2,h=(s+u)/2;(r=i[3])&&t.push(new C(r,l,h,a,u)),(r=i[2])&&t.push(new C(
r,o,h,l,u)),(r=i[1])&&t.push(new C(r,l,s,a,h)),(r=i[0])&&t.push(new C(r,o,s,l,h))}return this}function qr(n){var t=[],e=[],
i;for(this._root&&t.push(new C(this._root,this._x0,this._y0,this._x1,this._y1));i=t.pop();){var r=i.node;if(r.length){var o,
s=i.x0,a=i.y0,u=i.x1,l=i.y1,h=(s+u)/2,c=(a+l)/2;(o=r[0])&&t.push(new C(o,s,a,h,c)),(o=r[1])&&t.push(new C(o,h,a,u,c)),(o=
r[2])&&t.push(new C(o,s,c,h,l)),(o=r[3])&&t.push(new C(o,h,c,u,l))}e.push(i)}for(;i=e.pop();)n(i.node,i.x0,i.y0,i.x1,i.y1);
return this}function Cr(n){return n[0]}function Pr(n){return arguments.length?(this._x=n,this):this._x}function Or(n){return n[1]}
function Ir(n){return arguments.length?(this._y=n,this):this._y}function St(n,t,e){var i=new Et(t??Cr,e??Or,NaN,NaN,NaN,
NaN);return n==null?i:i.addAll(n)}function Et(n,t,e,i,r,o){this._x=n,this._y=t,this._x0=e,this._y0=i,this._x1=r,this._y1=
o,this._root=void 0}function Be(n){for(var t={data:n.data},e=t;n=n.next;)e=e.next={data:n.data};return t}var P=St.prototype=
Et.prototype;P.copy=function(){var n=new Et(this._x,this._y,this._x0,this._y0,this._x1,this._y1),t=this._root,e,i;if(!t)
return n;if(!t.length)return n._root=Be(t),n;for(e=[{source:t,target:n._root=new Array(4)}];t=e.pop();)for(var r=0;r<4;++r)
(i=t.source[r])&&(i.length?e.push({source:i,target:t.target[r]=new Array(4)}):t.target[r]=Be(i));return n};P.add=wr;P.addAll=
vr;P.cover=Mr;P.data=kr;P.extent=Nr;P.find=$r;P.remove=Tr;P.removeAll=Ar;P.root=Sr;P.size=Er;P.visit=Rr;P.visitAfter=qr;
P.x=Pr;P.y=Ir;function _n(n,t,e){n.prototype=t.prototype=e,e.constructor=n}function Sn(n,t){var e=Object.create(n.prototype);for(var i in t)
e[i]=t[i];return e}function Z(){}var sn=.7,gn=1/sn,dn="\\s*([+-]?\\d+)\\s*",Tn="\\s*([+-]?(?:\\d*\\.)?\\d+(?:[eE][+-]?\\d+)?)\
\\s*",j="\\s*([+-]?(?:\\d*\\.)?\\d+(?:[eE][+-]?\\d+)?)%\\s*",Lr=/^#([0-9a-f]{3,8})$/,Br=new RegExp(`^rgb\\(${dn},${dn},${dn}\
\\)$`),Dr=new RegExp(`^rgb\\(${j},${j},${j}\\)$`),Fr=new RegExp(`^rgba\\(${dn},${dn},${dn},${Tn}\\)$`),Hr=new RegExp(`^r\
gba\\(${j},${j},${j},${Tn}\\)$`),Xr=new RegExp(`^hsl\\(${Tn},${j},${j}\\)$`),zr=new RegExp(`^hsla\\(${Tn},${j},${j},${Tn}\
\\)$`),Fe={aliceblue:15792383,antiquewhite:16444375,aqua:65535,aquamarine:8388564,azure:15794175,beige:16119260,bisque:16770244,
black:0,blanchedalmond:16772045,blue:255,blueviolet:9055202,brown:10824234,burlywood:14596231,cadetblue:6266528,chartreuse:8388352,
chocolate:13789470,coral:16744272,cornflowerblue:6591981,cornsilk:16775388,crimson:14423100,cyan:65535,darkblue:139,darkcyan:35723,
darkgoldenrod:12092939,darkgray:11119017,darkgreen:25600,darkgrey:11119017,darkkhaki:12433259,darkmagenta:9109643,darkolivegreen:5597999,
darkorange:16747520,darkorchid:10040012,darkred:9109504,darksalmon:15308410,darkseagreen:9419919,darkslateblue:4734347,darkslategray:3100495,
darkslategrey:3100495,darkturquoise:52945,darkviolet:9699539,deeppink:16716947,deepskyblue:49151,dimgray:6908265,dimgrey:6908265,
dodgerblue:2003199,firebrick:11674146,floralwhite:16775920,forestgreen:2263842,fuchsia:16711935,gainsboro:14474460,ghostwhite:16316671,
gold:16766720,goldenrod:14329120,gray:8421504,green:32768,greenyellow:11403055,grey:8421504,honeydew:15794160,hotpink:16738740,
indianred:13458524,indigo:4915330,ivory:16777200,khaki:15787660,lavender:15132410,lavenderblush:16773365,lawngreen:8190976,
lemonchiffon:16775885,lightblue:11393254,lightcoral:15761536,lightcyan:14745599,lightgoldenrodyellow:16448210,lightgray:13882323,
lightgreen:9498256,lightgrey:13882323,lightpink:16758465,lightsalmon:16752762,lightseagreen:2142890,lightskyblue:8900346,
lightslategray:7833753,lightslategrey:7833753,lightsteelblue:11584734,lightyellow:16777184,lime:65280,limegreen:3329330,
linen:16445670,magenta:16711935,maroon:8388608,mediumaquamarine:6737322,mediumblue:205,mediumorchid:12211667,mediumpurple:9662683,
mediumseagreen:3978097,mediumslateblue:8087790,mediumspringgreen:64154,mediumturquoise:4772300,mediumvioletred:13047173,
midnightblue:1644912,mintcream:16121850,mistyrose:16770273,moccasin:16770229,navajowhite:16768685,navy:128,oldlace:16643558,
olive:8421376,olivedrab:7048739,orange:16753920,orangered:16729344,orchid:14315734,palegoldenrod:15657130,palegreen:10025880,
paleturquoise:11529966,palevioletred:14381203,papayawhip:16773077,peachpuff:16767673,peru:13468991,pink:16761035,plum:14524637,
powderblue:11591910,purple:8388736,rebeccapurple:6697881,red:16711680,rosybrown:12357519,royalblue:4286945,saddlebrown:9127187,
salmon:16416882,sandybrown:16032864,seagreen:3050327,seashell:16774638,sienna:10506797,silver:12632256,skyblue:8900331,slateblue:6970061,
slategray:7372944,slategrey:7372944,snow:16775930,springgreen:65407,steelblue:4620980,tan:13808780,teal:32896,thistle:14204888,
tomato:16737095,turquoise:4251856,violet:15631086,wheat:16113331,white:16777215,whitesmoke:16119285,yellow:16776960,yellowgreen:10145074};
_n(Z,yn,{copy(n){return Object.assign(new this.constructor,this,n)},displayable(){return this.rgb().displayable()},hex:He,
formatHex:He,formatHex8:Yr,formatHsl:jr,formatRgb:Xe,toString:Xe});function He(){return this.rgb().formatHex()}function Yr(){
return this.rgb().formatHex8()}function jr(){return Je(this).formatHsl()}function Xe(){return this.rgb().formatRgb()}function yn(n){
var t,e;return n=(n+"").trim().toLowerCase(),(t=Lr.exec(n))?(e=t[1].length,t=parseInt(t[1],16),e===6?ze(t):e===3?new R(t>>
8&15|t>>4&240,t>>4&15|t&240,(t&15)<<4|t&15,1):e===8?Qn(t>>24&255,t>>16&255,t>>8&255,(t&255)/255):e===4?Qn(t>>12&15|t>>8&
240,t>>8&15|t>>4&240,t>>4&15|t&240,((t&15)<<4|t&15)/255):null):(t=Br.exec(n))?new R(t[1],t[2],t[3],1):(t=Dr.exec(n))?new R(
t[1]*255/100,t[2]*255/100,t[3]*255/100,1):(t=Fr.exec(n))?Qn(t[1],t[2],t[3],t[4]):(t=Hr.exec(n))?Qn(t[1]*255/100,t[2]*255/
100,t[3]*255/100,t[4]):(t=Xr.exec(n))?Ve(t[1],t[2]/100,t[3]/100,1):(t=zr.exec(n))?Ve(t[1],t[2]/100,t[3]/100,t[4]):Fe.hasOwnProperty(
n)?ze(Fe[n]):n==="transparent"?new R(NaN,NaN,NaN,0):null}function ze(n){return new R(n>>16&255,n>>8&255,n&255,1)}function Qn(n,t,e,i){
return i<=0&&(n=t=e=NaN),new R(n,t,e,i)}function It(n){return n instanceof Z||(n=yn(n)),n?(n=n.rgb(),new R(n.r,n.g,n.b,n.
opacity)):new R}function En(n,t,e,i){return arguments.length===1?It(n):new R(n,t,e,i??1)}function R(n,t,e,i){this.r=+n,this.
g=+t,this.b=+e,this.opacity=+i}_n(R,En,Sn(Z,{brighter(n){return n=n==null?gn:Math.pow(gn,n),new R(this.r*n,this.g*n,this.
b*n,this.opacity)},darker(n){return n=n==null?sn:Math.pow(sn,n),new R(this.r*n,this.g*n,this.b*n,this.opacity)},rgb(){return this},
clamp(){return new R(rn(this.r),rn(this.g),rn(this.b),Wn(this.opacity))},displayable(){return-.5<=this.r&&this.r<255.5&&
-.5<=this.g&&this.g<255.5&&-.5<=this.b&&this.b<255.5&&0<=this.opacity&&this.opacity<=1},hex:Ye,formatHex:Ye,formatHex8:Vr,
formatRgb:je,toString:je}));function Ye(){return`#${en(this.r)}${en(this.g)}${en(this.b)}`}function Vr(){return`#${en(this.
r)}${en(this.g)}${en(this.b)}${en((isNaN(this.opacity)?1:this.opacity)*255)}`}function je(){let n=Wn(this.opacity);return`${n===
1?"rgb(":"rgba("}${rn(this.r)}, ${rn(this.g)}, ${rn(this.b)}${n===1?")":`, ${n})`}`}function Wn(n){return isNaN(n)?1:Math.
max(0,Math.min(1,n))}function rn(n){return Math.max(0,Math.min(255,Math.round(n)||0))}function en(n){return n=rn(n),(n<16?
"0":"")+n.toString(16)}function Ve(n,t,e,i){return i<=0?n=t=e=NaN:e<=0||e>=1?n=t=NaN:t<=0&&(n=NaN),new X(n,t,e,i)}function Je(n){
if(n instanceof X)return new X(n.h,n.s,n.l,n.opacity);if(n instanceof Z||(n=yn(n)),!n)return new X;if(n instanceof X)return n;
n=n.rgb();var t=n.r/255,e=n.g/255,i=n.b/255,r=Math.min(t,e,i),o=Math.max(t,e,i),s=NaN,a=o-r,u=(o+r)/2;return a?(t===o?s=
(e-i)/a+(e<i)*6:e===o?s=(i-t)/a+2:s=(t-e)/a+4,a/=u<.5?o+r:2-o-r,s*=60):a=u>0&&u<1?0:s,new X(s,a,u,n.opacity)}function Zn(n,t,e,i){
return arguments.length===1?Je(n):new X(n,t,e,i??1)}function X(n,t,e,i){this.h=+n,this.s=+t,this.l=+e,this.opacity=+i}_n(
X,Zn,Sn(Z,{brighter(n){return n=n==null?gn:Math.pow(gn,n),new X(this.h,this.s,this.l*n,this.opacity)},darker(n){return n=
n==null?sn:Math.pow(sn,n),new X(this.h,this.s,this.l*n,this.opacity)},rgb(){var n=this.h%360+(this.h<0)*360,t=isNaN(n)||
isNaN(this.s)?0:this.s,e=this.l,i=e+(e<.5?e:1-e)*t,r=2*e-i;return new R(Rt(n>=240?n-240:n+120,r,i),Rt(n,r,i),Rt(n<120?n+
240:n-120,r,i),this.opacity)},clamp(){return new X(Ge(this.h),Un(this.s),Un(this.l),Wn(this.opacity))},displayable(){return(0<=
this.s&&this.s<=1||isNaN(this.s))&&0<=this.l&&this.l<=1&&0<=this.opacity&&this.opacity<=1},formatHsl(){let n=Wn(this.opacity);
return`${n===1?"hsl(":"hsla("}${Ge(this.h)}, ${Un(this.s)*100}%, ${Un(this.l)*100}%${n===1?")":`, ${n})`}`}}));function Ge(n){
return n=(n||0)%360,n<0?n+360:n}function Un(n){return Math.max(0,Math.min(1,n||0))}function Rt(n,t,e){return(n<60?t+(e-t)*
n/60:n<180?e:n<240?t+(e-t)*(240-n)/60:t)*255}var Ze=Math.PI/180,Ke=180/Math.PI,Jn=18,ni=.96422,ti=1,ei=.82521,ii=4/29,mn=6/
29,ri=3*mn*mn,Gr=mn*mn*mn;function oi(n){if(n instanceof V)return new V(n.l,n.a,n.b,n.opacity);if(n instanceof W)return ai(
n);n instanceof R||(n=It(n));var t=Ot(n.r),e=Ot(n.g),i=Ot(n.b),r=qt((.2225045*t+.7168786*e+.0606169*i)/ti),o,s;return t===
e&&e===i?o=s=r:(o=qt((.4360747*t+.3850649*e+.1430804*i)/ni),s=qt((.0139322*t+.0971045*e+.7141733*i)/ei)),new V(116*r-16,
500*(o-r),200*(r-s),n.opacity)}function si(n,t,e,i){return arguments.length===1?oi(n):new V(n,t,e,i??1)}function V(n,t,e,i){this.l=+n,this.a=+t,this.b=
+e,this.opacity=+i}_n(V,si,Sn(Z,{brighter(n){return new V(this.l+Jn*(n??1),this.a,this.b,this.opacity)},darker(n){return new V(
this.l-Jn*(n??1),this.a,this.b,this.opacity)},rgb(){var n=(this.l+16)/116,t=isNaN(this.a)?n:n+this.a/500,e=isNaN(this.b)?
n:n-this.b/200;return t=ni*Ct(t),n=ti*Ct(n),e=ei*Ct(e),new R(Pt(3.1338561*t-1.6168667*n-.4906146*e),Pt(-.9787684*t+1.9161415*
n+.033454*e),Pt(.0719453*t-.2289914*n+1.4052427*e),this.opacity)}}));function qt(n){return n>Gr?Math.pow(n,1/3):n/ri+ii}
function Ct(n){return n>mn?n*n*n:ri*(n-ii)}function Pt(n){return 255*(n<=.0031308?12.92*n:1.055*Math.pow(n,1/2.4)-.055)}
function Ot(n){return(n/=255)<=.04045?n/12.92:Math.pow((n+.055)/1.055,2.4)}function Qr(n){if(n instanceof W)return new W(
n.h,n.c,n.l,n.opacity);if(n instanceof V||(n=oi(n)),n.a===0&&n.b===0)return new W(NaN,0<n.l&&n.l<100?0:NaN,n.l,n.opacity);
var t=Math.atan2(n.b,n.a)*Ke;return new W(t<0?t+360:t,Math.sqrt(n.a*n.a+n.b*n.b),n.l,n.opacity)}function Kn(n,t,e,i){return arguments.length===1?Qr(n):new W(n,t,e,i??1)}function W(n,t,e,i){this.h=+n,this.c=+t,this.l=
+e,this.opacity=+i}function ai(n){if(isNaN(n.h))return new V(n.l,0,0,n.opacity);var t=n.h*Ze;return new V(n.l,Math.cos(t)*
n.c,Math.sin(t)*n.c,n.opacity)}_n(W,Kn,Sn(Z,{brighter(n){return new W(this.h,this.c,this.l+Jn*(n??1),this.opacity)},darker(n){
return new W(this.h,this.c,this.l-Jn*(n??1),this.opacity)},rgb(){return ai(this).rgb()}}));var ui=-.14861,Lt=1.78277,Bt=-.29227,
nt=-.90649,An=1.97294,Qe=An*nt,Ue=An*Lt,We=Lt*Bt-nt*ui;function Ur(n){if(n instanceof on)return new on(n.h,n.s,n.l,n.opacity);
n instanceof R||(n=It(n));var t=n.r/255,e=n.g/255,i=n.b/255,r=(We*i+Qe*t-Ue*e)/(We+Qe-Ue),o=i-r,s=(An*(e-r)-Bt*o)/nt,a=Math.
sqrt(s*s+o*o)/(An*r*(1-r)),u=a?Math.atan2(s,o)*Ke-120:NaN;return new on(u<0?u+360:u,a,r,n.opacity)}function tt(n,t,e,i){
return arguments.length===1?Ur(n):new on(n,t,e,i??1)}function on(n,t,e,i){this.h=+n,this.s=+t,this.l=+e,this.opacity=+i}
_n(on,tt,Sn(Z,{brighter(n){return n=n==null?gn:Math.pow(gn,n),new on(this.h,this.s,this.l*n,this.opacity)},darker(n){return n=
n==null?sn:Math.pow(sn,n),new on(this.h,this.s,this.l*n,this.opacity)},rgb(){var n=isNaN(this.h)?0:(this.h+120)*Ze,t=+this.
l,e=isNaN(this.s)?0:this.s*t*(1-t),i=Math.cos(n),r=Math.sin(n);return new R(255*(t+e*(ui*i+Lt*r)),255*(t+e*(Bt*i+nt*r)),
255*(t+e*(An*i)),this.opacity)}}));function hi(n,t,e,i,r){var o=n*n,s=o*n;return((1-3*n+3*o-s)*t+(4-6*o+3*s)*e+(1+3*n+3*o-3*s)*i+s*r)/6}function Wr(n){var t=n.
length-1;return function(e){var i=e<=0?e=0:e>=1?(e=1,t-1):Math.floor(e*t),r=n[i],o=n[i+1],s=i>0?n[i-1]:2*r-o,a=i<t-1?n[i+
2]:2*o-r;return hi((e-i/t)*t,s,r,o,a)}}function Jr(n){var t=n.length;return function(e){var i=Math.floor(((e%=1)<0?++e:e)*
t),r=n[(i+t-1)%t],o=n[i%t],s=n[(i+1)%t],a=n[(i+2)%t];return hi((e-i/t)*t,r,o,s,a)}}var it=n=>()=>n;function pi(n,t){return function(e){
return n+e*t}}function Zr(n,t,e){return n=Math.pow(n,e),t=Math.pow(t,e)-n,e=1/e,function(i){return Math.pow(n+i*t,e)}}function Xt(n,t){
var e=t-n;return e?pi(n,e>180||e<-180?e-360*Math.round(e/360):e):it(isNaN(n)?t:n)}function Kr(n){return(n=+n)==1?I:function(t,e){
return e-t?Zr(t,e,n):it(isNaN(t)?e:t)}}function I(n,t){var e=t-n;return e?pi(n,e):it(isNaN(n)?t:n)}var li=(function n(t){
var e=Kr(t);function i(r,o){var s=e((r=En(r)).r,(o=En(o)).r),a=e(r.g,o.g),u=e(r.b,o.b),l=I(r.opacity,o.opacity);return function(h){
return r.r=s(h),r.g=a(h),r.b=u(h),r.opacity=l(h),r+""}}return i.gamma=n,i})(1);function di(n){return function(t){var e=t.
length,i=new Array(e),r=new Array(e),o=new Array(e),s,a;for(s=0;s<e;++s)a=En(t[s]),i[s]=a.r||0,r[s]=a.g||0,o[s]=a.b||0;return i=
n(i),r=n(r),o=n(o),a.opacity=1,function(u){return a.r=i(u),a.g=r(u),a.b=o(u),a+""}}}var xs=di(Wr),bs=di(Jr);function no(n,t){
t||(t=[]);var e=n?Math.min(t.length,n.length):0,i=t.slice(),r;return function(o){for(r=0;r<e;++r)i[r]=n[r]*(1-o)+t[r]*o;
return i}}function to(n){return ArrayBuffer.isView(n)&&!(n instanceof DataView)}function eo(n,t){var e=t?t.length:0,i=n?Math.min(e,n.length):0,r=new Array(i),o=new Array(e),s;for(s=0;s<i;++s)r[s]=rt(n[s],
t[s]);for(;s<e;++s)o[s]=t[s];return function(a){for(s=0;s<i;++s)o[s]=r[s](a);return o}}function io(n,t){var e=new Date;return n=
+n,t=+t,function(i){return e.setTime(n*(1-i)+t*i),e}}function z(n,t){return n=+n,t=+t,function(e){return n*(1-e)+t*e}}function ro(n,t){
var e={},i={},r;(n===null||typeof n!="object")&&(n={}),(t===null||typeof t!="object")&&(t={});for(r in t)r in n?e[r]=rt(
n[r],t[r]):i[r]=t[r];return function(o){for(r in e)i[r]=e[r](o);return i}}var Ft=/[-+]?(?:\d+\.?\d*|\.?\d+)(?:[eE][-+]?\d+)?/g,
Dt=new RegExp(Ft.source,"g");function oo(n){return function(){return n}}function so(n){return function(t){return n(t)+""}}
function ao(n,t){var e=Ft.lastIndex=Dt.lastIndex=0,i,r,o,s=-1,a=[],u=[];for(n=n+"",t=t+"";(i=Ft.exec(n))&&(r=Dt.exec(t));)
(o=r.index)>e&&(o=t.slice(e,o),a[s]?a[s]+=o:a[++s]=o),(i=i[0])===(r=r[0])?a[s]?a[s]+=r:a[++s]=r:(a[++s]=null,u.push({i:s,
x:z(i,r)})),e=Dt.lastIndex;return e<t.length&&(o=t.slice(e),a[s]?a[s]+=o:a[++s]=o),a.length<2?u[0]?so(u[0].x):oo(t):(t=u.
length,function(l){for(var h=0,c;h<t;++h)a[(c=u[h]).i]=c.x(l);return a.join("")})}function rt(n,t){var e=typeof t,i;return t==
null||e==="boolean"?it(t):(e==="number"?z:e==="string"?(i=yn(t))?(t=i,li):ao:t instanceof yn?li:t instanceof Date?io:to(
t)?no:Array.isArray(t)?eo:typeof t.valueOf!="function"&&typeof t.toString!="function"||isNaN(t)?ro:z)(n,t)}function mi(n,t){return n=+n,t=+t,function(e){return Math.round(n*(1-e)+t*e)}}var ci=180/Math.PI,Ht={translateX:0,translateY:0,
rotate:0,skewX:0,scaleX:1,scaleY:1};function gi(n,t,e,i,r,o){var s,a,u;return(s=Math.sqrt(n*n+t*t))&&(n/=s,t/=s),(u=n*e+
t*i)&&(e-=n*u,i-=t*u),(a=Math.sqrt(e*e+i*i))&&(e/=a,i/=a,u/=a),n*i<t*e&&(n=-n,t=-t,u=-u,s=-s),{translateX:r,translateY:o,
rotate:Math.atan2(t,n)*ci,skewX:Math.atan(u)*ci,scaleX:s,scaleY:a}}var et;function uo(n){let t=new(typeof DOMMatrix=="fu\
nction"?DOMMatrix:WebKitCSSMatrix)(n+"");return t.isIdentity?Ht:gi(t.a,t.b,t.c,t.d,t.e,t.f)}function lo(n){return n==null||
(et||(et=document.createElementNS("http://www.w3.org/2000/svg","g")),et.setAttribute("transform",n),!(n=et.transform.baseVal.
consolidate()))?Ht:(n=n.matrix,gi(n.a,n.b,n.c,n.d,n.e,n.f))}function _i(n,t,e,i){function r(l){return l.length?l.pop()+"\
 ":""}function o(l,h,c,f,d,g){if(l!==c||h!==f){var p=d.push("translate(",null,t,null,e);g.push({i:p-4,x:z(l,c)},{i:p-2,x:z(
h,f)})}else(c||f)&&d.push("translate("+c+t+f+e)}function s(l,h,c,f){l!==h?(l-h>180?h+=360:h-l>180&&(l+=360),f.push({i:c.
push(r(c)+"rotate(",null,i)-2,x:z(l,h)})):h&&c.push(r(c)+"rotate("+h+i)}function a(l,h,c,f){l!==h?f.push({i:c.push(r(c)+
"skewX(",null,i)-2,x:z(l,h)}):h&&c.push(r(c)+"skewX("+h+i)}function u(l,h,c,f,d,g){if(l!==c||h!==f){var p=d.push(r(d)+"s\
cale(",null,",",null,")");g.push({i:p-4,x:z(l,c)},{i:p-2,x:z(h,f)})}else(c!==1||f!==1)&&d.push(r(d)+"scale("+c+","+f+")")}
return function(l,h){var c=[],f=[];return l=n(l),h=n(h),o(l.translateX,l.translateY,h.translateX,h.translateY,c,f),s(l.rotate,
h.rotate,c,f),a(l.skewX,h.skewX,c,f),u(l.scaleX,l.scaleY,h.scaleX,h.scaleY,c,f),l=h=null,function(d){for(var g=-1,p=f.length,
m;++g<p;)c[(m=f[g]).i]=m.x(d);return c.join("")}}}var ws=_i(uo,"px, ","px)","deg)"),vs=_i(lo,", ",")",")"),co=1e-12;function fi(n){
return((n=Math.exp(n))+1/n)/2}function fo(n){return((n=Math.exp(n))-1/n)/2}function ho(n){return((n=Math.exp(2*n))-1)/(n+
1)}var Ms=(function n(t,e,i){function r(o,s){var a=o[0],u=o[1],l=o[2],h=s[0],c=s[1],f=s[2],d=h-a,g=c-u,p=d*d+g*g,m,y;if(p<
co)y=Math.log(f/l)/t,m=function($){return[a+$*d,u+$*g,l*Math.exp(t*$*y)]};else{var w=Math.sqrt(p),x=(f*f-l*l+i*p)/(2*l*e*
w),v=(f*f-l*l-i*p)/(2*f*e*w),M=Math.log(Math.sqrt(x*x+1)-x),N=Math.log(Math.sqrt(v*v+1)-v);y=(N-M)/t,m=function($){var T=$*
y,b=fi(M),S=l/(e*w)*(b*ho(t*T+M)-fo(M));return[a+S*d,u+S*g,l*b/fi(t*T+M)]}}return m.duration=Math.abs(y)*1e3*t/Math.SQRT2,
m}return r.rho=function(o){var s=Math.max(.001,+o),a=s*s,u=a*a;return n(s,a,u)},r})(Math.SQRT2,2,4);function yi(n){return function(t,e){
var i=n((t=Zn(t)).h,(e=Zn(e)).h),r=I(t.s,e.s),o=I(t.l,e.l),s=I(t.opacity,e.opacity);return function(a){return t.h=i(a),t.
s=r(a),t.l=o(a),t.opacity=s(a),t+""}}}var ks=yi(Xt),Ns=yi(I);function xi(n){return function(t,e){var i=n((t=Kn(t)).h,(e=Kn(e)).h),r=I(t.c,e.c),o=I(t.l,e.l),s=I(t.opacity,e.opacity);
return function(a){return t.h=i(a),t.c=r(a),t.l=o(a),t.opacity=s(a),t+""}}}var $s=xi(Xt),Ts=xi(I);function bi(n){return(function t(e){
e=+e;function i(r,o){var s=n((r=tt(r)).h,(o=tt(o)).h),a=I(r.s,o.s),u=I(r.l,o.l),l=I(r.opacity,o.opacity);return function(h){
return r.h=s(h),r.s=a(h),r.l=u(Math.pow(h,e)),r.opacity=l(h),r+""}}return i.gamma=t,i})(1)}var As=bi(Xt),Ss=bi(I);function po(n,t){switch(arguments.length){case 0:break;case 1:this.range(n);break;default:this.range(t).domain(n);break}
return this}function mo(n){return function(){return n}}function go(n){return+n}var wi=[0,1];function xn(n){return n}function zt(n,t){
return(t-=n=+n)?function(e){return(e-n)/t}:mo(isNaN(t)?NaN:.5)}function _o(n,t){var e;return n>t&&(e=n,n=t,t=e),function(i){
return Math.max(n,Math.min(t,i))}}function yo(n,t,e){var i=n[0],r=n[1],o=t[0],s=t[1];return r<i?(i=zt(r,i),o=e(s,o)):(i=
zt(i,r),o=e(o,s)),function(a){return o(i(a))}}function xo(n,t,e){var i=Math.min(n.length,t.length)-1,r=new Array(i),o=new Array(
i),s=-1;for(n[i]<n[0]&&(n=n.slice().reverse(),t=t.slice().reverse());++s<i;)r[s]=zt(n[s],n[s+1]),o[s]=e(t[s],t[s+1]);return function(a){
var u=Zt(n,a,1,i)-1;return o[u](r[u](a))}}function bo(n,t){return t.domain(n.domain()).range(n.range()).interpolate(n.interpolate()).
clamp(n.clamp()).unknown(n.unknown())}function wo(){var n=wi,t=wi,e=rt,i,r,o,s=xn,a,u,l;function h(){var f=Math.min(n.length,
t.length);return s!==xn&&(s=_o(n[0],n[f-1])),a=f>2?xo:yo,u=l=null,c}function c(f){return f==null||isNaN(f=+f)?o:(u||(u=a(
n.map(i),t,e)))(i(s(f)))}return c.invert=function(f){return s(r((l||(l=a(t,n.map(i),z)))(f)))},c.domain=function(f){return arguments.
length?(n=Array.from(f,go),h()):n.slice()},c.range=function(f){return arguments.length?(t=Array.from(f),h()):t.slice()},
c.rangeRound=function(f){return t=Array.from(f),e=mi,h()},c.clamp=function(f){return arguments.length?(s=f?!0:xn,h()):s!==
xn},c.interpolate=function(f){return arguments.length?(e=f,h()):e},c.unknown=function(f){return arguments.length?(o=f,c):
o},function(f,d){return i=f,r=d,h()}}function vo(){return wo()(xn,xn)}function Mo(n,t,e,i){var r=oe(n,t,e),o;switch(i=vn(
i??",f"),i.type){case"s":{var s=Math.max(Math.abs(n),Math.abs(t));return i.precision==null&&!isNaN(o=de(r,s))&&(i.precision=
o),ft(i,s)}case"":case"e":case"g":case"p":case"r":{i.precision==null&&!isNaN(o=me(r,Math.max(Math.abs(n),Math.abs(t))))&&
(i.precision=o-(i.type==="e"));break}case"f":case"%":{i.precision==null&&!isNaN(o=pe(r))&&(i.precision=o-(i.type==="%")*
2);break}}return Mn(i)}function ko(n){var t=n.domain;return n.ticks=function(e){var i=t();return re(i[0],i[i.length-1],e??
10)},n.tickFormat=function(e,i){var r=t();return Mo(r[0],r[r.length-1],e??10,i)},n.nice=function(e){e==null&&(e=10);var i=t(),
r=0,o=i.length-1,s=i[r],a=i[o],u,l,h=10;for(a<s&&(l=s,s=a,a=l,l=r,r=o,o=l);h-- >0;){if(l=bn(s,a,e),l===u)return i[r]=s,i[o]=
a,t(i);if(l>0)s=Math.floor(s/l)*l,a=Math.ceil(a/l)*l;else if(l<0)s=Math.ceil(s*l)/l,a=Math.floor(a*l)/l;else break;u=l}return n},
n}function K(){var n=vo();return n.copy=function(){return bo(n,K())},po.apply(n,arguments),ko(n)}var G={left:52,right:14,top:22,bottom:40},Rn=260,ot=6,No=20;function Yt(n,t){let e=_("div",{class:"plot"}),i=_("div",{class:"\
tip",role:"status",hidden:!0}),r=null,o=null;function s(){let c=Math.max(260,e.clientWidth||480);r={...t(),width:c};let{
xs:f,ys:d,xRange:g,yRange:p}=r,m=K(g,[G.left+ot,c-G.right-ot]).clamp(!0),y=K(p,[Rn-G.bottom-ot,G.top+ot]).clamp(!0),w=Y(
f,d).filter(M=>jt(r,M)).sort((M,N)=>f[M]-f[N]||M-N),x=St([...w].reverse(),M=>m(f[M]),M=>y(d[M]));Object.assign(r,{px:m,py:y,
shown:w,near:x});let v=E("svg",{viewBox:`0 0 ${c} ${Rn}`,role:"img",tabindex:0,"aria-label":r.summary,onkeydown:l});v.append(
...$o(r),...To(r)),r.focus=E("circle",{class:"focus",r:6,visibility:"hidden"}),r.chosen=E("circle",{class:"chosen",r:6,visibility:"\
hidden"}),v.append(r.chosen,r.focus),e.replaceChildren(v,i),a(r.chosen,n.selected),u(null)}function a(c,f){let d=r.shown.
includes(f);c.setAttribute("visibility",d?"visible":"hidden"),d&&(c.setAttribute("cx",r.px(r.xs[f])),c.setAttribute("cy",
r.py(r.ys[f])))}function u(c){if(o=c,a(r.focus,c),i.hidden=c===null,c===null)return;i.textContent=r.told(c);let[f,d]=[r.
px(r.xs[c]),r.py(r.ys[c])];i.style.left=`${Math.min(Math.max(f,70),r.width-70)}px`,i.style.top=`${d+(d<60?14:-12)}px`,i.
classList.toggle("under",d<60)}function l(c){let{shown:f}=r,d=f.indexOf(o);if(c.key==="ArrowRight")u(f[Math.min(d+1,f.length-
1)]??null);else if(c.key==="ArrowLeft")u(f[Math.max(d-1,0)]??null);else if(c.key==="Home")u(f[0]??null);else if(c.key===
"End")u(f.at(-1)??null);else if(c.key==="Escape")u(null);else if((c.key==="Enter"||c.key===" ")&&o!==null)n.select(o);else
return;c.preventDefault()}function h(c){let f=e.getBoundingClientRect(),d=r.width/f.width;return r.near.find((c.clientX-
f.left)*d,(c.clientY-f.top)*d,No)??null}return e.addEventListener("pointermove",c=>u(h(c))),e.addEventListener("pointerl\
eave",()=>u(null)),e.addEventListener("click",c=>{let f=h(c);f!==null&&n.select(f)}),n.onselect(()=>r&&a(r.chosen,n.selected)),
new ResizeObserver(()=>r?.width!==e.clientWidth&&s()).observe(e),{host:e,draw:s}}function jt({xs:n,ys:t,xRange:e,yRange:i},r){
return n[r]>=e[0]&&n[r]<=e[1]&&t[r]>=i[0]&&t[r]<=i[1]}function $o({px:n,py:t,width:e,xLabel:i,yLabel:r,whole:o}){let[s,a]=[
G.left,Rn-G.bottom],[u,l]=n.domain(),h=Math.min(6,Math.floor(e/70),o?l-u:1/0),[c,f]=[n.ticks(h),t.ticks(5)],[d,g]=[Xn(n,
h),Xn(t,5)];return[E("path",{class:"grid",d:f.map(p=>`M${s} ${t(p).toFixed(1)}H${e-G.right}`).join("")}),E("path",{class:"\
axis",d:`M${s} ${a}H${e-G.right}`}),...f.map(p=>E("text",{class:"tick end",x:s-8,y:t(p)+4},g(p))),...c.map(p=>E("text",{
class:"tick middle",x:n(p),y:a+16},d(p))),E("text",{class:"label",x:8,y:12},`↑ ${r}`),E("text",{class:"label end",x:e-
G.right,y:Rn-6},`${i} →`)]}function To({xs:n,ys:t,px:e,py:i,shown:r,marked:o,below:s,...a}){let u=f=>f.map(d=>`M${e(n[d]).
toFixed(1)} ${i(t[d]).toFixed(1)}h0`).join(""),l=Gn(([f])=>e(f),([,f])=>i(f)).curve(a.curve).digits(1),h=Rn-G.bottom,c=r.
filter(f=>o.has(f));return[E("path",{class:r.length>1e3?"dots small":"dots",d:u(r)}),E("path",{class:"failed",d:s.map(f=>`\
M${e(f).toFixed(1)} ${h}v5`).join("")}),E("path",{class:"line",d:l(a.line)}),E("path",{class:"rim",d:u(c)}),E("path",{class:"\
marks",d:u(c)})]}function vi(n){let{trials:t,columns:e,best:i}=n.data,r=e[0].values,o=Nn(r),s=t.number,a=Y(r),u=Hn(r,o.slice(-1).map(m=>r[m])),
l=a.filter(m=>r[m]<u[0]||r[m]>u[1]).length,h=o.filter(m=>r[m]>=u[0]).map(m=>[s[m],r[m]]);i!==null&&h.push([s.at(-1),r[i]]);
let c=s.filter((m,y)=>t.state[y]==="failed"),f=i===null?"no trial has a score yet":`${B(r[i])} in trial ${s[i]}, after ${a.
length} trials with a score`,d=[f,l?`${l} far off not drawn`:"",c.length?`${c.length} failed (red)`:""],{host:g,draw:p}=Yt(
n,()=>({xs:s,ys:r,xRange:s.length>1?[s[0],s.at(-1)]:[0,1],yRange:u,xLabel:"trial",yLabel:"score",whole:!0,marked:new Set,
below:c,line:h,curve:At,summary:`Best score so far, by trial: ${f}. Left and right arrows go from point to point, Enter \
selects.`,told:m=>`trial ${s[m]}: ${B(r[m])}`}));return n.onshow(p),H("sofar","Best so far",{subtitle:_("p",{},d.filter(
Boolean).join("; "))},g)}function Mi(n){let{trials:t,columns:e}=n.data,[i,r]=n.data.front.map(c=>({...c})),o=_("p"),s=_(
"div",{class:"controls"}),{host:a,draw:u}=Yt(n,()=>{let[c,f]=[r,i].map(x=>e[x.column].values.map((v,M)=>e[0].values[M]===
null?null:v)),d=ht(c,f,[r.lower,i.lower]),[g,p]=[c,f].map(x=>Hn(x,d.map(v=>x[v]))),m=Y(c,f),y=m.filter(x=>!jt({xs:c,ys:f,
xRange:g,yRange:p},x)).length,w=`${d.length} of ${m.length} trials are not beaten in both`;return o.textContent=y?`${w};\
 ${y} far off not drawn`:w,{xs:c,ys:f,xRange:g,yRange:p,xLabel:l(r),yLabel:l(i),whole:!1,marked:new Set(d),below:[],line:d.
map(x=>[c[x],f[x]]),curve:r.lower?At:Le,summary:`${l(i)} over ${l(r)}: ${w}. Left and right arrows go from point to poin\
t, Enter selects.`,told:x=>`trial ${t.number[x]}: ${e[i.column].name} ${B(f[x])}, ${e[r.column].name} ${B(c[x])}`}});function l({
column:c,lower:f}){return`${e[c].name}, ${f?"lower":"higher"} is better`}let h=e.map(({name:c},f)=>[String(f),c]);for(let[
c,f]of[["up",i],["across",r]])s.append(nn(c,h,String(f.column),d=>{f.column=Number(d),u()}),nn(`better ${c}`,[["","highe\
r is better"],["1","lower is better"]],f.lower?"1":"",d=>{f.lower=!!d,u()}));return n.onshow(u),H("pareto","Pareto front",
{subtitle:o},a,s)}var ki=24,Ao=[["mean","mean score"],["best","best score"],["share","share of the best tenth"]];function Ni(n){let{choices:t,
columns:e,trials:i}=n.data,r=e[0].values.map((m,y)=>i.source[y]===null?m:null),o=mt(r),s=t.map((m,y)=>gt(m,i.decisions[y],
r,o)),a=_("div",{class:"bars"}),u=_("button",{type:"button",onclick:()=>{h=!0,c()}},`Show all ${t.length} choices`),l="m\
ean",h=!1;function c(){let m=kn(s.flat().map(x=>x[l])),y=l==="share"||!m.length?[0,1]:Ln(m),w=h?t:t.slice(0,ki);a.replaceChildren(
...w.map((x,v)=>f(x,v,y))),u.hidden=h||t.length<=ki}function f(m,y,w){let x=n.selected===null?null:i.decisions[y][n.selected],
v=x===null?[]:[x].flat(),M=s[y].filter($=>$.n).length,N=s[y].map($=>d(m,$,w,$.index===null?x!==null&&!v.length:v.includes(
$.index)));return _("table",{class:"choice"},_("caption",{},_("div",{},_("span",{class:"key"},m.key),_("span",{class:"tr\
ied"},`${M} of ${s[y].length} tried`))),_("tbody",{},N))}function d(m,y,[w,x],v){let M=y.index===null?"none":zn(m,y.index),
N=y.n?y[l]:null,$=_("div",{class:"fill"}),T=w<x?K([w,x],[l==="share"?0:4,100]).clamp(!0):()=>100;$.style.width=N===null?
"0":`${T(N)}%`;let b=l==="share"&&N!==null?`${Math.round(100*N)} %`:B(N);return _("tr",{class:v?"chosen":null,title:`${y.
n} trials`},_("th",{scope:"row"},M),_("td",{class:"track","aria-hidden":"true"},_("div",{},$)),_("td",{class:"value"},b))}
n.onshow(c),n.onselect(c);let g=_("p",{},"by candidate, over the trials that took it; bold is what the selected trial to\
ok"),p=nn("show",Ao,l,m=>{l=m,c()});return H("choices","Choices and score",{subtitle:g,controls:[p]},a,u)}var q={width:132,height:30,column:150,row:54,margin:12},So=Gn().curve(Ee).digits(1);function $i(n){let{graph:t,trials:e,
choices:i,best:r}=n.data,o=_("p"),s=_("div",{class:"scroll",tabindex:0,role:"group","aria-label":"The graph; scroll for \
the rest"}),a=new Set(t.parts.flatMap(([g,...p],m)=>g==="all"&&!p.length?[m]:[]));function u(){let g=n.selected;if(s.replaceChildren(),
g===null){o.textContent="no trial has a score yet";return}let p=e.decisions.map(T=>T[g]),m=dt(t.parts,p),y=({when:T})=>m[T]!==
!0?"out":a.has(T)?"always":"picked",w=t.nodes.filter(T=>y(T)!=="out").length,x=g===r?`of the best trial, ${e.number[g]}`:
`of trial ${e.number[g]}`;o.textContent=`${x}: ${w} of ${t.nodes.length} steps run; what was chosen is blue, what wasn't\
 is pale`;let[v,M]=[t.width*q.column+2*q.margin,t.rows*q.row+2*q.margin],N=t.edges.map(T=>[y(T),T]),$=t.nodes.map(T=>[y(
T),T]);s.append(E("svg",{viewBox:`0 0 ${v} ${M}`,width:v,height:M,role:"img","aria-label":`Graph ${o.textContent}`},["ou\
t","always","picked"].map(T=>E("path",{class:`wire ${T}`,d:N.filter(([b])=>b===T).map(([,b])=>h(b)).join("")})),$.map(([
T,b])=>c(b,T,p))))}function l({x:g,row:p},m=0){return[g*q.column+q.margin,p*q.row+q.row/2+q.margin+m]}function h({from:g,
to:p,bends:m}){let[y,w]=[t.nodes[g],t.nodes[p]],[x,v]=[-q.height/2,q.height/2],M=m.map(($,T)=>({x:$,row:y.row+1+T})),N=[
[y,v],...M.flatMap($=>[[$,x],[$,v]]),[w,x]];return So(N.map(([$,T])=>l($,T)))}function c(g,p,m){let[y,w]=l(g),x=f(g,m);return E(
"g",{class:`box ${g.kind} ${p}`},E("title",{},[g.label,g.detail].filter(Boolean).join(", ")),E("rect",{x:y-q.width/2,y:w-
q.height/2,width:q.width,height:q.height,rx:g.kind==="choice"?q.height/2:5}),x.map((v,M)=>E("text",{x:y,y:w+(x.length===
1?4:M?10:-2),class:M?"small":null},v)))}function f(g,p){if(g.kind!=="choice")return[d(g.label),g.detail].filter(Boolean).
map(d);let m=i.findIndex(({key:y})=>y===g.label);return m<0?[d(g.label)]:[d(g.label),d(U(i[m],p[m]))]}function d(g){let p=[
...g];return p.length<=20?g:`…${p.slice(-19).join("")}`}return n.onshow(u),n.onselect(u),H("graph","Graph",{subtitle:o},
s)}var Vt=25;function Ti(n){let{columns:t,errors:e,trials:i}=n.data,r=i.number.length,o=[{name:"trial",values:i.number},{name:"\
state",values:i.state,text:b=>i.state[b]+(i.source[b]===null?"":` (as ${i.source[b]})`)},...t.map(({name:b,values:S})=>({
name:b,values:S,text:L=>B(S[L]),number:!0})),{name:"error",values:i.error.map(b=>b===null?null:e[b]),long:!0}],s=new Map,
a={field:o[0],up:!0},u="",l="",h=0,c=_("tr"),f=_("tbody"),d=_("span",{role:"status"}),g=b=>()=>{h+=b,x()},[p,m]=[_("butt\
on",{type:"button",onclick:g(-1)},"Previous"),_("button",{type:"button",onclick:g(1)},"Next")];function y(b){if(!s.has(b)){
let S=n.data.choices.map((L,k)=>`${L.key}=${U(L,i.decisions[k][b])}`);s.set(b,[i.number[b],...S,i.error[b]===null?"":e[i.
error[b]]].join(`
`).toLowerCase())}return s.get(b)}function w(){let{field:{values:b},up:S}=a,L=A=>(!u||i.state[A]===u)&&(!l||y(A).includes(
l)),k=S?F:ln,D=(A,O)=>(b[A]===null)-(b[O]===null)||k(b[A],b[O])||A-O;return wn(r).filter(L).sort(D)}function x(){let b=w(),
S=Math.max(1,Math.ceil(b.length/Vt));h=Math.min(Math.max(h,0),S-1),v(),f.replaceChildren(...b.slice(h*Vt,(h+1)*Vt).map(M)),
d.textContent=`page ${h+1} of ${S}, ${b.length} of ${r} trials`,p.disabled=h===0,m.disabled=h===S-1}function v(){c.replaceChildren(
...o.map(b=>{let S=b===a.field,L=()=>{a={field:b,up:S?!a.up:!b.number},h=0,x(),c.children[o.indexOf(b)].firstChild.focus()},
k=S?a.up?"ascending":"descending":null;return _("th",{scope:"col",class:b.number?"number":null,"aria-sort":k},_("button",
{type:"button",onclick:L},b.name,S?a.up?" ↑":" ↓":""))}))}function M(b){let S=b===n.selected,L=o.slice(1).map(A=>{let O=A.
text?A.text(b):A.values[b]??"";return _("td",{class:A.number?"number":A.long?"long":null,title:A.long&&O?O:null},O)}),k=_(
"button",{type:"button","aria-pressed":String(S),"aria-label":`trial ${i.number[b]}, select`},String(i.number[b])),D=()=>{
let A=document.activeElement===k;n.select(b),A&&f.querySelector("[aria-pressed=true]")?.focus()};return _("tr",{class:[i.
state[b],S?"selected":""].join(" ").trim(),onclick:D},_("td",{},k),L)}let N=[["","all states"],...[...new Set(i.state)].
sort().map(b=>[b,b])],$=_("input",{type:"search",oninput:()=>{l=$.value.toLowerCase(),h=0,x()}}),T=[nn("state",N,u,b=>{u=
b,h=0,x()}),_("label",{},_("span",{},"containing"),$)];return n.onshow(x),n.onselect(x),H("trials","Trials",{controls:T},
_("div",{class:"scroll"},_("table",{},_("thead",{},c),f)),_("nav",{"aria-label":"pages of trials"},p,m,d))}function Eo({title:n,strategy:t,choices:e,trials:i}){let r=ee(i.state,s=>s.length,s=>s),o=(s,a)=>_("span",{},_("b",{},String(
s)),` ${a}`);return _("header",{class:"top"},_("span",{class:"brand"},"fxnas"),_("h1",{},n),o(e.length,"choices"),o(i.number.
length,"trials"),r.map(([s,a])=>o(a,s)),_("span",{title:JSON.stringify(t)},String(t.name??"")))}function Ro(){let n=JSON.
parse(document.getElementById("data").textContent);n.best=Nn(n.columns[0].values).at(-1)??null;let[t,e]=[[],[]],i={data:n,
selected:n.best,onshow:o=>t.push(o),onselect:o=>e.push(o),select(o){i.selected=o;for(let s of e)s()}},r=[Ni,ye,...n.graph?
[$i]:[],...n.front?[Mi]:[],vi,Ti];document.title=`${n.title} – fxnas report`,document.getElementById("page").replaceChildren(
Eo(n),_("main",{class:n.front?"two":"one"},r.map(o=>o(i))));for(let o of t)o()}return Ci(qo);})();
