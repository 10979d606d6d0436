-- needs: settings
-- The numbers of RINGPROOF_TEST_NUMBERS: their codes are fixed, and Plivo is not asked about them. So they count in no
-- cap, take no slot, and say nothing about Plivo. A record's `test` says that its last attempt was one without Plivo.
-- The policy has them as '+15005550006,+15005550007,'. A script that has read the pace has read them, too.
local function is_test_number(number)
  return config.test_numbers ~= '' and config.test_numbers:find(number .. ',', 1, true) ~= nil
end
