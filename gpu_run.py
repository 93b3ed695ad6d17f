"""usage: check I N | time | tune"""
import sys,time,torch,traceback,dataclasses,os
from lengthwise.harness.bench import gpu, gpu_check
import lengthwise.kernels.gpu_linear as gl
import importlib
st=importlib.import_module("lengthwise.kernels.selective_scan.triton")
from torch.profiler import profile,ProfilerActivity
what=sys.argv[1]; BF=torch.bfloat16; F32=torch.float32
def parts(run,k=5):
    run(); torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as p:
        for _ in range(k): run()
        torch.cuda.synchronize()
    return {e.key[:22]:(e.count/k,round(e.self_device_time_total/k,1)) for e in p.key_averages() if e.self_device_time_total>0}
if what=="time":
    for w in [lambda:gpu.delta_workload(256,256,2,64,BF), lambda:gpu.delta_workload(64,1024,2,64,BF), lambda:gpu.delta_workload(1,65536,4,64,BF), lambda:gpu.linear_workload(256,256,2,64,BF), lambda:gpu.linear_workload(64,1024,2,64,BF), lambda:gpu.linear_workload(1,65536,4,64,BF), lambda:gpu.delta_workload(256,256,2,64,F32),lambda:gpu.delta_workload(64,1024,2,128,BF),
        lambda:gpu.scan_workload(64,1024,128,16,BF),lambda:gpu.scan_workload(64,1024,128,16,F32),lambda:gpu.scan_workload(1,65536,128,16,BF),lambda:gpu.scan_workload(1,65536,128,16,F32),lambda:gpu.convolution_workload(64,1024,128,4,BF)]:
        try:
            w=w(); m=gpu.measure(w,"triton")
            print(m.operator,m.shape,str(w.leaves[0].dtype)[6:],f"cold {m.cold_seconds:.1f} fwd {m.forward_seconds*1e3:.3f} gpu {m.gpu_seconds*1e3:.3f} n {m.launches} wall {m.wall_seconds*1e3:.3f} graph {(m.graph_seconds or 0)*1e3:.3f} peak {m.peak_bytes/2**20:.0f}")
            print("   ",parts(w.both("triton")),flush=True)
        except Exception as e: print("EXC",str(e)[:200],flush=True)
        w=None; torch.cuda.empty_cache()
common=[dict()]
if what=="tune":
    plan=gl.plan
    def var(**kw):
        def new(q,v,g,delta):
            p=plan(q,v,g,delta)
            c={**p.constants}
            C=kw.get("C") or c["C"]; c["C"]=C; c["DOT"]=kw.get("DOT",c["DOT"]); BV=kw.get("BV") or c["BV"]; c["BV"]=BV
            return dataclasses.replace(p,chunk_size=C,chunks=gl.ceil_div(min(p.length,gl.SEGMENT),C),constants=c,value_blocks=gl.ceil_div(c["V"],BV),warps=kw.get("warps",p.warps),stages=kw.get("stages",p.stages),gradient_blocks=kw.get("gb",p.gradient_blocks))
        return new
    shapes=[("l256",gpu.linear_workload(256,256,2,64,BF)),("l1024",gpu.linear_workload(64,1024,2,64,BF)),("d128",gpu.delta_workload(64,1024,2,128,BF)),("f32",gpu.delta_workload(256,256,2,64,F32)),("c256",gpu.linear_workload(256,256,2,64,BF,"channel"))]
    opts={"l256":[dict()],"l1024":[dict(),dict(BV=32)],
          "f32":[dict(),dict(C=16),dict(C=16,BV=64),dict(warps=(2,2,2),C=16)],
          "d128":[dict(),dict(stages=(1,1,1)),dict(gb=(32,32)),dict(gb=(64,64))],
          "c256":[dict(),dict(warps=(2,2,4)),dict(warps=(1,1,4)),dict(gb=(16,64),warps=(2,2,4)),dict(gb=(16,64),warps=(2,2,1))]}
    for tile,blk in ((16,32),(8,32),(32,32)):
        st.TILE,st.BLOCK=tile,blk
        for prog in (2048,4096):
            st.PROGRAMS=prog
            for dt in (F32,BF):
                w=gpu.scan_workload(64,1024,128,16,dt)
                try: print("scan",tile,blk,prog,dt,{k:v[1] for k,v in parts(w.both("triton")).items()},flush=True)
                except Exception as e: print("EXC",str(e)[:100])
                w=None
    st.TILE,st.BLOCK,st.PROGRAMS=16,32,2048
    for name,w in shapes:
        for o in opts.get(name,common):
            gl.plan=var(**o)
            try: pp=parts(w.both("triton")); print(name,o,{k.split("_kernel")[0]:v[1] for k,v in pp.items()},flush=True)
            except Exception as e: print(name,o,"EXC",str(e)[:100].replace("\n"," "),flush=True)
if what=="check":
    i,n=int(sys.argv[2]),int(sys.argv[3])
    t0=time.time(); bad=0; done=0; worst={}
    for c in list(gpu_check.cases())[i::n]:
        for dt in gpu_check.TOLERANCE:
            t=time.time()
            try: e=gpu_check.check(c,dt,"cuda")
            except Exception as x:
                print("EXC",c.operator,c.name,dt,str(x)[:200].replace("\n"," "),flush=True); bad+=1; continue
            done+=1
            key=(c.operator,e.dtype)
            if e.error>worst.get(key,(0,))[0]: worst[key]=(e.error,e.worst,c.name)
            if not e.ok: bad+=1; print("BAD",e.operator,e.case,e.dtype,e.worst,f"{e.error:.1e}",flush=True)
            if time.time()-t>10: print("slow",e.case,e.dtype,f"{time.time()-t:.0f}s")
    print("part",i,"checked",done,"bad",bad,f"{time.time()-t0:.0f}s"); 
    for k,v in worst.items(): print("  worst",k,f"{v[0]:.1e}",v[1:])
