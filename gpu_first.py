import sys,time,torch,traceback
from lengthwise.harness.bench import gpu, gpu_check
from lengthwise import kernels
import lengthwise.kernels.gpu_linear as gl
what=sys.argv[1]
print(torch.__version__, torch.cuda.get_device_name())
BF=torch.bfloat16
if "time" in what:
    for w in [lambda:gpu.delta_workload(256,256,2,64,BF), lambda:gpu.delta_workload(64,1024,2,64,BF), lambda:gpu.delta_workload(1,65536,4,64,BF), lambda:gpu.linear_workload(256,256,2,64,BF), lambda:gpu.linear_workload(64,1024,2,64,BF), lambda:gpu.linear_workload(1,65536,4,64,BF), lambda:gpu.linear_workload(256,256,2,64,BF,"channel"), lambda:gpu.delta_workload(256,256,2,64,torch.float32),lambda:gpu.delta_workload(64,1024,2,128,BF)]:
        try:
            w=w(); m=gpu.measure(w,"triton")
            print(m.operator,m.shape,w.leaves[0].dtype,f"cold {m.cold_seconds:.1f} fwd {m.forward_seconds*1e3:.3f} gpu {m.gpu_seconds*1e3:.3f} n {m.launches} wall {m.wall_seconds*1e3:.3f} graph {(m.graph_seconds or 0)*1e3:.3f} peak {m.peak_bytes/2**20:.0f}",flush=True)
            from torch.profiler import profile,ProfilerActivity
            run=w.both("triton")
            with profile(activities=[ProfilerActivity.CUDA]) as p:
                for _ in range(5): run()
                torch.cuda.synchronize()
            for e in p.key_averages(): print("   ",e.key[:40],e.count//5,f"{e.self_device_time_total/5:.1f}us",flush=True)
        except Exception as e: traceback.print_exc()
if "check" in what:
    t0=time.time(); bad=0; n=0
    for c in gpu_check.cases():
        if not c.operator.startswith("gated"): continue
        if len(sys.argv)>2 and time.time()-t0>float(sys.argv[2]): print("out of time at",c); break
        for dt in gpu_check.TOLERANCE:
            t=time.time()
            try: e=gpu_check.check(c,dt,"cuda")
            except Exception as x:
                print(c.operator,c.name,dt,"EXC",str(x)[:300],flush=True); bad+=1; continue
            n+=1
            if not e.ok or time.time()-t>8: bad+=not e.ok; print(("BAD" if not e.ok else "slow"),e.operator,e.case,e.dtype,e.worst,f"{e.error:.1e} {time.time()-t:.1f}s",flush=True)
    print("checked",n,"bad",bad,f"{time.time()-t0:.0f}s")
