// What every kernel shares: extensions, the workgroup size (specialization constant 0), buffer views and reductions.
// Buffers come as addresses at the head of the push constants, in the order of the kernel's Bindings.
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require

layout(local_size_x = 256, local_size_x_id = 0) in;

layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Words { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer MutableWords { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Words4 { uvec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) buffer MutableWords4 { uvec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Floats { float at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer MutableFloats { float at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Floats4 { vec4 at[]; };

// At least one slot a subgroup: 1024 invocations in subgroups of 4.
shared float reduction_slots[256];

// The sum of `value` over the workgroup, in every invocation. Call it in uniform control flow.
float workgroup_sum(float value) {
  float sum = subgroupAdd(value);
  barrier(); // the slots may still be read by a reduction before this one
  if (subgroupElect()) reduction_slots[gl_SubgroupID] = sum;
  barrier();
  float total = 0.0;
  for (uint i = 0; i < gl_NumSubgroups; ++i) total += reduction_slots[i];
  return total;
}

// The maximum of `value` over the workgroup, in every invocation. Call it in uniform control flow.
float workgroup_max(float value) {
  float best = subgroupMax(value);
  barrier();
  if (subgroupElect()) reduction_slots[gl_SubgroupID] = best;
  barrier();
  float total = reduction_slots[0];
  for (uint i = 1; i < gl_NumSubgroups; ++i) total = max(total, reduction_slots[i]);
  return total;
}

// cap * tanh(value / cap), without a sine hyperbolic that overflows.
float soft_cap(float value, float cap) { return cap - 2.0 * cap / (exp(2.0 * value / cap) + 1.0); }
