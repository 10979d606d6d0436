-- needs: clock, changes, batch_state, budget
-- Who pays for the code of a row, and what happens when a budget is spent.
-- A record's `paid` is the request whose code is paid, and its `payer` the batch that has paid if it is not the
-- record's own. Codes that a person has asked for are nobody's: no budget pays for them.

-- The states of a request whose code may be out.
local PAID = {sending = true, code_sent = true, in_doubt = true}

-- Lets a batch go on that was paused because a code would have cost more than was left: some was paid back.
local function resume_paid_back(name)
  if batch_state(name) ~= 'paused' then return end
  local batch_hash = batch_key(name)
  local lacks = tonumber(redis.call('HGET', batch_hash, 'lacks') or nil)
  if not lacks or not can_pay(batch_payer(name), lacks) then return end
  put(batch_hash, 'state', 'running', 'notify_from', string.format('sms:0:%.0f', now_us))
  drop(batch_hash, 'paused_for', 'lacks')
  note_batch_state(name, 'running')
end

-- Has the code of a record paid, or paid back, as its state changes. `reason` is the new state's.
local function pay(key, record, state, reason)
  local is_free = not (is_paid(record) or batch_payer(record.batch) or record.joined_by)  -- as in most batches
  if is_free or not is_row(record) then return end
  local list, _, country = row_of(record)
  if is_paid(record) then
    local is_out = PAID[state] or state == 'verified' or state == 'expired' or state == 'cancelled'
      or reason == 'in_doubt' or reason == 'crashes_worker'
    if is_out or not (record.state == 'sending' or record.state == 'in_doubt') then return end
    local batch = record.payer or record.batch
    spend(batch_payer(batch), list, country, -1)
    resume_paid_back(batch)
    drop(key, 'paid', 'payer')
    record.paid, record.payer = nil, nil
  elseif PAID[state] and record.lane == 'bulk' and not record.test then
    local batch = paying_batch(record)
    if not batch then return end
    spend(batch_payer(batch), list, country, 1)
    record.paid, record.payer = record.request, batch ~= record.batch and batch or nil
    put(key, 'paid', record.paid)
    set_or_delete(key, 'payer', record.payer)
  end
end

-- Pauses the batch of a record that may not begin because its code would cost more than is left.
local function pause_for_budget(record)
  if not (record.batch and record.lane == 'bulk') or batch_state(record.batch) ~= 'running' then return end
  if not exceeds_budget(record.batch, record) then return end
  local batch_hash, list, _, country = batch_key(record.batch), row_of(record)
  put(batch_hash, 'state', 'paused', 'paused_for', 'budget')
  set_or_delete(batch_hash, 'lacks', price_of(batch_payer(record.batch), list, country))
  note_batch_state(record.batch, 'paused')
end
